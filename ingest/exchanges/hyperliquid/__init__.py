"""Hyperliquid perpetuals.

A name that the venue does not know closes the WHOLE connection without a word, so only names out
of ``meta`` may be subscribed. A topic here is our own text for the venue's object: ``trades:BTC``,
``candle:BTC:1m``; a builder's coin keeps its colon (``l2Book:xyz:SP500``).
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket
"""

import json
import math
from collections.abc import Callable, Sequence

from ingest.exchanges.base import (
    BookRow,
    BookRule,
    Chain,
    Exchange,
    Heartbeat,
    Limits,
    Market,
    Request,
    RestBudget,
    Subscription,
)
from ingest.exchanges.hyperliquid.frames import parse
from ingest.exchanges.hyperliquid.instruments import day_turnovers, instruments
from ingest.exchanges.hyperliquid.topics import subscription_of
from schemas.streams import Kind

KLINE = "1m"


def _subscribe(topics: Sequence[str], _request_id: int) -> bytes:
    return _request("subscribe", topics)


def _unsubscribe(topics: Sequence[str], _request_id: int) -> bytes:
    return _request("unsubscribe", topics)


def _request(method: str, topics: Sequence[str]) -> bytes:
    (topic,) = topics  # one a request, and it has no id: the answer repeats the object
    return json.dumps({"method": method, "subscription": subscription_of(topic)}).encode()


def _info(kind: str) -> Request:
    return Request(path="/info", weight=20, body=json.dumps({"type": kind}).encode())


def _on(kind: Kind, topic: Callable[[str], str]) -> Subscription:
    return Subscription(kind=kind, path="/ws", topics=lambda symbol: (topic(symbol),))


def _context(coin: str) -> str:
    """Ticker, funding and open interest come in one frame."""
    return f"activeAssetCtx:{coin}"


def _chain(_last_id: int, _row: BookRow, _is_after_snapshot: bool) -> Chain:
    """Frames are whole: nothing can be missing between two of them."""
    return Chain.NEXT


LINEAR = Market(
    channel="linear",
    rest_url="https://api.hyperliquid.xyz",
    socket_url="wss://api.hyperliquid.xyz",
    symbol_form=r"[^\s/,\-]+",  # BTC, kPEPE, xyz:SP500
    limits=Limits(
        # Of one address, over all connections: 1,000 subscriptions, 2,000 messages a minute,
        # 10 connections, 30 new ones a minute. Five full sockets hold all subscriptions, and the
        # other five are for the next ones while the old are still up.
        streams_per_socket_max=200,
        streams_per_request_max=1,
        requests_per_s_max=6,
        connections_per_5_min_max=150,
        lifetime_s=math.inf,
        connections_max=10,
    ),
    rest_budget=RestBudget(weight_max=1_200, window_s=60.0),
    subscriptions=(
        _on("trades", lambda coin: f"trades:{coin}"),
        _on("books", lambda coin: f"l2Book:{coin}"),
        _on("tickers", _context),
        _on("funding", _context),
        _on("open-interest", _context),
        _on("venue-klines", lambda coin: f"candle:{coin}:{KLINE}"),
    ),
    parse=parse,
    trade_kind="trades",
    ids="unique",
    book=BookRule(chain=_chain, is_whole=True, depth=20),
    instruments=(_info("meta"),),
    read_instruments=instruments,
    activity=_info("metaAndAssetCtxs"),
    read_activity=day_turnovers,
)

EXCHANGE = Exchange(
    name="hyperliquid",
    markets={"linear": LINEAR},
    # The venue closes what it has sent nothing to for 60 s; its pong counts.
    heartbeat=Heartbeat(frame=b'{"method":"ping"}', interval_s=30.0, timeout_s=10.0),
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
)
