"""Bybit v5, spot and linear contracts (USDT and USDC).

Funding, mark price and open interest of linear contracts come in ``tickers``, so three kinds name
one topic: a socket subscribes it once, and each of its frames yields the rows of all three.
https://bybit-exchange.github.io/docs/v5/ws/connect
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
from ingest.exchanges.bybit.books import DEPTH, chain
from ingest.exchanges.bybit.clock import CLOCK
from ingest.exchanges.bybit.frames import parse_linear, parse_spot
from ingest.exchanges.bybit.instruments import (
    PRE_LAUNCH,
    next_page,
    page,
    read_instruments,
    read_turnover,
)
from ingest.exchanges.bybit.trades import KIND
from schemas.streams import Kind

SPOT_PATH = "/v5/public/spot"
LINEAR_PATH = "/v5/public/linear"
LIMITS = Limits(
    streams_per_socket_max=400,
    # The most that spot takes; linear takes more, but one unknown topic refuses its whole request.
    streams_per_request_max=10,
    requests_per_s_max=10,  # nothing is documented
    connections_per_5_min_max=400,  # 500 are allowed
    lifetime_s=math.inf,
    topic_chars_per_socket_max=18_000,  # 21,000 are allowed; quotes and commas may count
    connections_max=1_000,
)
REST_URL = "https://api.bybit.com"
SOCKET_URL = "wss://stream.bybit.com"
SYMBOL_FORM = r"[^\sa-z/:,]+"  # BTCUSDT, BTCPERP, BTCUSDT-25DEC26
REST_BUDGET = RestBudget(weight_max=600, window_s=5.0)
BOOK = BookRule(chain=chain, depth=DEPTH)


def _request(op: str, topics: Sequence[str], request_id: int) -> bytes:
    return json.dumps({"req_id": str(request_id), "op": op, "args": list(topics)}).encode()


def _subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("subscribe", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _request("unsubscribe", topics, request_id)


def _subscription(kind: Kind, path: str, topic: str) -> Subscription:
    return Subscription(kind=kind, path=path, topics=lambda symbol: (f"{topic}.{symbol}",))


SPOT = Market(
    channel="spot",
    rest_url=REST_URL,
    socket_url=SOCKET_URL,
    symbol_form=SYMBOL_FORM,
    clock=CLOCK,
    limits=LIMITS,
    rest_budget=REST_BUDGET,
    subscriptions=(
        _subscription("trades", SPOT_PATH, KIND),
        _subscription("books", SPOT_PATH, f"orderbook.{DEPTH}"),
        _subscription("tickers", SPOT_PATH, "tickers"),
        _subscription("venue-klines", SPOT_PATH, "kline.1"),
    ),
    parse=parse_spot,
    trade_kind=KIND,
    ids="unique",
    book=BOOK,
    instruments=(page("spot"),),
    read_instruments=read_instruments,
    next_page=next_page,
    activity=Request(path="/v5/market/tickers?category=spot", weight=1),
    read_activity=read_turnover,
)
LINEAR = Market(
    channel="linear",
    rest_url=REST_URL,
    socket_url=SOCKET_URL,
    symbol_form=SYMBOL_FORM,
    clock=CLOCK,
    limits=LIMITS,
    rest_budget=REST_BUDGET,
    subscriptions=(
        _subscription("trades", LINEAR_PATH, KIND),
        _subscription("books", LINEAR_PATH, f"orderbook.{DEPTH}"),
        _subscription("tickers", LINEAR_PATH, "tickers"),
        _subscription("funding", LINEAR_PATH, "tickers"),
        _subscription("open-interest", LINEAR_PATH, "tickers"),
        _subscription("liquidations", LINEAR_PATH, "allLiquidation"),
        _subscription("venue-klines", LINEAR_PATH, "kline.1"),
    ),
    parse=parse_linear,
    trade_kind=KIND,
    ids="unique",
    book=BOOK,
    instruments=(page("linear"), page("linear", status=PRE_LAUNCH)),
    read_instruments=read_instruments,
    next_page=next_page,
    activity=Request(path="/v5/market/tickers?category=linear", weight=1),
    read_activity=read_turnover,
)

EXCHANGE = Exchange(
    name="bybit",
    markets={"spot": SPOT, "linear": LINEAR},
    heartbeat=Heartbeat(frame=b'{"op":"ping"}', interval_s=20.0, timeout_s=10.0),
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
)
