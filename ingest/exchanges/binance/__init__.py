"""Binance spot and USD-M futures.

The USD-M paths are routed: books and best prices live under ``/public``, all else under
``/market``. The wrong path shakes hands, accepts the subscription, and stays silent.
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

import json
from collections.abc import Sequence

from ingest.exchanges.base import Exchange, Limits, Market, Request, RestBudget, Subscription
from ingest.exchanges.binance.books import LINEAR_BOOK, SPOT_BOOK
from ingest.exchanges.binance.clock import LINEAR_CLOCK, SPOT_CLOCK
from ingest.exchanges.binance.contracts import OPEN_INTEREST
from ingest.exchanges.binance.frames import parse
from ingest.exchanges.binance.instruments import linear_instruments, spot_instruments, trade_counts
from schemas.streams import Kind

DAY_S = 86_400.0
SYMBOL_FORM = r"[^\sa-z/:,\-]+"  # BTCUSDT, and names beyond ASCII


def _request(method: str, streams: Sequence[str], request_id: int) -> bytes:
    return json.dumps({"method": method, "params": list(streams), "id": request_id}).encode()


def _subscribe(streams: Sequence[str], request_id: int) -> bytes:
    return _request("SUBSCRIBE", streams, request_id)


def _unsubscribe(streams: Sequence[str], request_id: int) -> bytes:
    return _request("UNSUBSCRIBE", streams, request_id)


def _on(kind: Kind, path: str, *streams: str) -> Subscription:
    def topics(symbol: str) -> Sequence[str]:
        return [f"{symbol.lower()}@{stream}" for stream in streams]

    return Subscription(kind=kind, path=path, topics=topics)


SPOT = Market(
    channel="spot",
    rest_url="https://api.binance.com",
    socket_url="wss://stream.binance.com:9443",
    symbol_form=SYMBOL_FORM,
    clock=SPOT_CLOCK,
    limits=Limits(
        streams_per_socket_max=200,
        streams_per_request_max=50,
        requests_per_s_max=4,  # 5 messages/s are allowed, and the answer to a ping is one of them
        connections_per_5_min_max=300,
        lifetime_s=DAY_S,
    ),
    rest_budget=RestBudget(weight_max=6_000, window_s=60.0, used_header="x-mbx-used-weight-1m"),
    subscriptions=(
        _on("trades", "/stream", "trade"),
        _on("books", "/stream", "depth@100ms"),
        _on("tickers", "/stream", "ticker", "bookTicker"),
        _on("venue-klines", "/stream", "kline_1m"),
    ),
    parse=parse,
    trade_kind="trade",
    ids="dense",
    book=SPOT_BOOK,
    instruments=(Request(path="/api/v3/exchangeInfo", weight=20),),
    read_instruments=spot_instruments,
    activity=Request(path="/api/v3/ticker/24hr", weight=80),
    read_activity=trade_counts,
)
LINEAR = Market(
    channel="linear",
    rest_url="https://fapi.binance.com",
    socket_url="wss://fstream.binance.com",
    symbol_form=SYMBOL_FORM,
    clock=LINEAR_CLOCK,
    limits=Limits(
        streams_per_socket_max=200,  # the pages disagree: 1,024 or 200
        streams_per_request_max=50,
        requests_per_s_max=8,  # 10 messages/s are allowed
        connections_per_5_min_max=300,
        lifetime_s=DAY_S,
    ),
    rest_budget=RestBudget(weight_max=2_400, window_s=60.0, used_header="x-mbx-used-weight-1m"),
    subscriptions=(
        # `trade` is undocumented on futures, and some say silenced
        _on("trades", "/market/stream", "aggTrade"),
        _on("books", "/public/stream", "depth@100ms"),
        # without `bookTicker`, which lives on the other path
        _on("tickers", "/market/stream", "ticker"),
        _on("funding", "/market/stream", "markPrice@1s"),
        _on("liquidations", "/market/stream", "forceOrder"),
        _on("venue-klines", "/market/stream", "kline_1m"),
    ),
    polls=(OPEN_INTEREST,),
    parse=parse,
    trade_kind="aggTrade",
    ids="dense",
    book=LINEAR_BOOK,
    instruments=(Request(path="/fapi/v1/exchangeInfo", weight=1),),
    read_instruments=linear_instruments,
    activity=Request(path="/fapi/v1/ticker/24hr", weight=40),
    read_activity=trade_counts,
)

EXCHANGE = Exchange(
    name="binance",
    markets={"spot": SPOT, "linear": LINEAR},
    heartbeat=None,
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
)
