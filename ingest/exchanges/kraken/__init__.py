"""Kraken spot, WebSocket v2; ``docs/adding-a-venue.md`` walks through these files.

Symbols are ``BTC/USD`` here, while REST and the old socket say ``XBT/USD``. A topic is our own
text, ``trade:BTC/USD``: a request carries one channel, and the answer one symbol.
https://docs.kraken.com/api/docs/websocket-v2/book
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

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
from ingest.exchanges.kraken.book import checksum
from ingest.exchanges.kraken.clock import CLOCK
from ingest.exchanges.kraken.frames import parse
from ingest.exchanges.kraken.instruments import instruments, trade_counts
from schemas.streams import Kind

DEPTH = 100
# A new trades subscription tells the last 50 trades too: what a short outage would have cost.
OPTIONS: dict[str, dict[str, Any]] = {
    "trade": {"snapshot": True},
    "book": {"snapshot": True, "depth": DEPTH},
    "ohlc": {"snapshot": True, "interval": 1},
}


def _subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("subscribe", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("unsubscribe", topics, request_id)


def _request(method: str, topics: Sequence[str], request_id: int) -> bytes:
    (topic,) = topics  # a refusal does not name the channel, so one request is one topic
    channel, _, symbol = topic.partition(":")
    options = {
        k: v for k, v in OPTIONS[channel].items() if method == "subscribe" or k != "snapshot"
    }
    params = {"channel": channel, "symbol": [symbol], **options}
    return json.dumps({"method": method, "params": params, "req_id": request_id}).encode()


def _on(kind: Kind, topic: Callable[[str], str]) -> Subscription:
    return Subscription(kind=kind, path="/v2", topics=lambda symbol: (topic(symbol),))


def _chain(_last_id: int, _row: BookRow, _is_after_snapshot: bool) -> Chain:
    """Updates have no ids: the checksum of every frame is what proves the book."""
    return Chain.NEXT


SPOT = Market(
    channel="spot",
    rest_url="https://api.kraken.com",
    socket_url="wss://ws.kraken.com",
    symbol_form=r"[^\s/,:]+/[^\s/,:]+",  # BTC/USD
    clock=CLOCK,
    limits=Limits(
        streams_per_socket_max=200,
        streams_per_request_max=1,
        requests_per_s_max=10,
        connections_per_5_min_max=60,  # about 150 in 10 minutes, then the address is banned
        lifetime_s=math.inf,
    ),
    rest_budget=RestBudget(weight_max=15, window_s=15.0),  # one request a second
    subscriptions=(
        _on("trades", lambda symbol: f"trade:{symbol}"),
        _on("books", lambda symbol: f"book:{symbol}"),
        _on("venue-klines", lambda symbol: f"ohlc:{symbol}"),
    ),
    parse=parse,
    trade_kind="trade",
    ids="unique",  # "a sequence number, unique per book": that it has no holes is not promised
    book=BookRule(chain=_chain, depth=DEPTH, checksum=checksum),
    instruments=(Request(path="/0/public/AssetPairs?assetVersion=1", weight=1),),
    read_instruments=instruments,
    activity=Request(path="/0/public/Ticker?assetVersion=1", weight=1),
    read_activity=trade_counts,
)

EXCHANGE = Exchange(
    name="kraken",
    markets={"spot": SPOT},
    heartbeat=Heartbeat(frame=b'{"method":"ping"}', interval_s=30.0, timeout_s=10.0),
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
)
