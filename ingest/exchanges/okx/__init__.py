"""OKX v5: spot, and linear swaps.

Candles live on ``/ws/v5/business``, everything else on ``/ws/v5/public``. Sizes of swaps are
contracts. Our topics are ``channel:instId``, for example ``trades:BTC-USDT-SWAP``; liquidations
come for all swaps at once: ``liquidation-orders:SWAP``.
https://www.okx.com/docs-v5/en/
"""

import json
import math
from collections.abc import Sequence

from ingest.exchanges.base import (
    BookRule,
    Exchange,
    Heartbeat,
    Limits,
    Market,
    Request,
    RestBudget,
    Subscription,
)
from ingest.exchanges.okx.books import DEPTH, chain, checksum
from ingest.exchanges.okx.clock import CLOCK
from ingest.exchanges.okx.contracts import in_base
from ingest.exchanges.okx.frames import parse
from ingest.exchanges.okx.instruments import spot_instruments, swap_instruments, turnovers

PUBLIC = "/ws/v5/public"
BUSINESS = "/ws/v5/business"
BY_TYPE = frozenset({"liquidation-orders"})  # channels of an instrument type, not of one symbol

LIMITS = Limits(
    streams_per_socket_max=100,
    streams_per_request_max=50,
    requests_per_s_max=3,
    requests_per_hour_max=440,  # 480 are allowed
    connections_per_5_min_max=300,
    connections_per_s_max=2,  # three are allowed
    lifetime_s=math.inf,  # closed after a notice (code 64008), whatever the age
    request_bytes_max=60_000,  # 64 KB are allowed
)
# Each endpoint has 20 in 2 s or more; together they stay below one endpoint's share.
REST_BUDGET = RestBudget(weight_max=20, window_s=2.0)
BOOK = BookRule(chain=chain, depth=DEPTH, checksum=checksum)


def _request(op: str, topics: Sequence[str], request_id: int) -> bytes:
    args = []
    for topic in topics:
        channel, _, of = topic.partition(":")
        args.append({"channel": channel, "instType" if channel in BY_TYPE else "instId": of})
    message = {"id": str(request_id), "op": op, "args": args}
    return json.dumps(message, separators=(",", ":")).encode()


def _subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("subscribe", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("unsubscribe", topics, request_id)


def _funding_topics(symbol: str) -> Sequence[str]:
    index = symbol.removesuffix("-SWAP")
    return f"funding-rate:{symbol}", f"mark-price:{symbol}", f"index-tickers:{index}"


TRADES = Subscription(kind="trades", path=PUBLIC, topics=lambda s: (f"trades:{s}",))
BOOKS = Subscription(kind="books", path=PUBLIC, topics=lambda s: (f"books:{s}",))
TICKERS = Subscription(kind="tickers", path=PUBLIC, topics=lambda s: (f"tickers:{s}",))
FUNDING = Subscription(kind="funding", path=PUBLIC, topics=_funding_topics)
OPEN_INTEREST = Subscription(
    kind="open-interest", path=PUBLIC, topics=lambda s: (f"open-interest:{s}",)
)
LIQUIDATIONS = Subscription(
    kind="liquidations", path=PUBLIC, topics=lambda _: ("liquidation-orders:SWAP",)
)
KLINES = Subscription(kind="venue-klines", path=BUSINESS, topics=lambda s: (f"candle1m:{s}",))

SPOT = Market(
    channel="spot",
    rest_url="https://www.okx.com",
    socket_url="wss://ws.okx.com:8443",
    symbol_form=r"[^\sa-z/:,\-]+-[^\sa-z/:,\-]+",  # BTC-USDT
    clock=CLOCK,
    limits=LIMITS,
    rest_budget=REST_BUDGET,
    subscriptions=(TRADES, BOOKS, TICKERS, KLINES),
    parse=parse,
    trade_kind="trades",
    ids="range",
    book=BOOK,
    instruments=(Request(path="/api/v5/public/instruments?instType=SPOT", weight=1),),
    read_instruments=spot_instruments,
    activity=Request(path="/api/v5/market/tickers?instType=SPOT", weight=1),
    read_activity=turnovers,
)
LINEAR = Market(
    channel="linear",
    rest_url="https://www.okx.com",
    socket_url="wss://ws.okx.com:8443",
    symbol_form=r"[^\sa-z/:,\-]+-[^\sa-z/:,\-]+-SWAP",  # BTC-USDT-SWAP
    clock=CLOCK,
    limits=LIMITS,
    rest_budget=REST_BUDGET,
    subscriptions=(TRADES, BOOKS, TICKERS, FUNDING, OPEN_INTEREST, LIQUIDATIONS, KLINES),
    parse=parse,
    trade_kind="trades",
    ids="range",
    book=BOOK,
    instruments=(Request(path="/api/v5/public/instruments?instType=SWAP", weight=1),),
    read_instruments=swap_instruments,
    activity=Request(path="/api/v5/market/tickers?instType=SWAP", weight=1),
    read_activity=turnovers,
    in_base=in_base,
)

EXCHANGE = Exchange(
    name="okx",
    markets={"spot": SPOT, "linear": LINEAR},
    heartbeat=Heartbeat(frame=b"ping", interval_s=20.0, timeout_s=10.0),
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
)
