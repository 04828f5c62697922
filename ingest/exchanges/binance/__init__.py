"""Binance spot and USD-M futures.

The USD-M paths are routed: trades live under ``/market``. Any other path shakes hands, accepts
the subscription, and stays silent.
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

import json
from collections.abc import Sequence

from ingest.exchanges.base import Exchange, Limits, Market
from ingest.exchanges.binance.frames import parse
from ingest.exchanges.binance.instruments import linear_instruments, spot_instruments, trade_counts

DAY_S = 86_400.0


def _request(method: str, streams: Sequence[str], request_id: int) -> bytes:
    return json.dumps({"method": method, "params": list(streams), "id": request_id}).encode()


def _subscribe(streams: Sequence[str], request_id: int) -> bytes:
    return _request("SUBSCRIBE", streams, request_id)


def _unsubscribe(streams: Sequence[str], request_id: int) -> bytes:
    return _request("UNSUBSCRIBE", streams, request_id)


SPOT = Market(
    channel="spot",
    socket_path="/stream",
    instruments_path="/api/v3/exchangeInfo",
    tickers_path="/api/v3/ticker/24hr",
    trade_kind="trade",
    dense_ids=True,
    limits=Limits(
        streams_per_socket_max=200,
        streams_per_request_max=50,
        requests_per_s_max=4,  # 5 messages/s are allowed, and the answer to a ping is one of them
        connections_per_5_min_max=300,
        lifetime_s=DAY_S,
    ),
    stream=lambda symbol: f"{symbol.lower()}@trade",
    instruments=spot_instruments,
    trade_counts=trade_counts,
)
LINEAR = Market(
    channel="linear",
    socket_path="/market/stream",
    instruments_path="/fapi/v1/exchangeInfo",
    tickers_path="/fapi/v1/ticker/24hr",
    trade_kind="aggTrade",  # `trade` is undocumented on futures, and some say silenced
    dense_ids=True,
    limits=Limits(
        streams_per_socket_max=200,  # the pages disagree: 1,024 or 200
        streams_per_request_max=50,
        requests_per_s_max=8,  # 10 messages/s are allowed
        connections_per_5_min_max=300,
        lifetime_s=DAY_S,
    ),
    stream=lambda symbol: f"{symbol.lower()}@aggTrade",
    instruments=linear_instruments,
    trade_counts=trade_counts,
)

EXCHANGE = Exchange(
    name="binance",
    markets={"spot": SPOT, "linear": LINEAR},
    ping_interval_s=None,
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    parse=parse,
)
