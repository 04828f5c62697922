"""The simulated Hyperliquid without a socket: its words, its numbers, its ids."""

import json
import re

import orjson
import pytest

from simulator.dialect import Asked
from simulator.exchange import Exchange
from simulator.feeds import Stream
from simulator.options import SimulatorOptions
from simulator.venues.hyperliquid.dialect import Perpetuals
from simulator.venues.hyperliquid.talk import MESSAGES_PER_MINUTE_MAX

NOW_MS = 1_790_000_000_000


class Line:
    """What a dialect did to a connection."""

    def __init__(self) -> None:
        self.wrap = None
        self.streams = {}
        self.said = []
        self.closed = None

    def reply(self, message):
        self.said.append(orjson.loads(message))

    def subscribe(self, stream):
        self.streams[stream] = None
        self.said.append(("subscribed", stream))

    def unsubscribe(self, stream):
        del self.streams[stream]

    def close(self, code, reason):
        self.closed = (code, reason)


@pytest.fixture
def exchange() -> Exchange:
    options = SimulatorOptions(exchanges=("hyperliquid",), markets=("linear",), symbols=4)
    made = Exchange(Perpetuals(options), options, trades_per_s=400, rows_max=100_000)
    made.make_history(20_000, NOW_MS)
    return made


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def talk(exchange, line):
    return exchange.dialect.open("/ws", {})(line)


def say(talk, method, now_s=0.0, **subscription):
    talk.hear(json.dumps({"method": method, "subscription": subscription}), now_s)


async def ask(exchange, body, method="POST", path="/info"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = Asked(method=method, path=path, query={}, body=raw, now_ms=NOW_MS)
    return await exchange.dialect.rest(asked, exchange)


def test_a_subscription_is_answered_before_its_stream_begins(talk, line):
    say(talk, "subscribe", type="trades", coin="BTC")
    asked = {"method": "subscribe", "subscription": {"type": "trades", "coin": "BTC"}}
    assert line.said == [
        {"channel": "subscriptionResponse", "data": asked},
        ("subscribed", Stream("trades", "BTC")),
    ]


def test_the_answer_fills_in_the_defaults_of_a_book(talk, line):
    say(talk, "subscribe", type="l2Book", coin="BTC")
    told = line.said[0]["data"]["subscription"]
    assert told["nSigFigs"] is told["mantissa"] is None
    assert told["fast"] is False


@pytest.mark.parametrize("coin", ["NOPE", "btc", "BTCUSDT", ""])
def test_an_unknown_coin_closes_the_whole_connection_without_a_word(talk, line, coin):
    say(talk, "subscribe", type="trades", coin="BTC")
    said = len(line.said)
    say(talk, "subscribe", type="l2Book", coin=coin)
    assert line.closed is not None
    assert len(line.said) == said


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"method":"subscribe"}',
        '{"method":"dance","subscription":{"type":"trades","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"news","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"trades","coin":["BTC"]}}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"7m"}}',
        '{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":[]}}',
    ],
)
def test_what_cannot_be_read_is_quoted_and_the_connection_stays(talk, line, text):
    talk.hear(text, 0.0)
    (said,) = line.said
    assert said["channel"] == "error"
    assert said["data"].endswith(text)
    assert line.closed is None


def test_twice_is_an_error_that_quotes_the_subscription(talk, line):
    for _ in range(2):
        say(talk, "subscribe", type="trades", coin="BTC")
    assert line.said[-1]["data"] == 'Already subscribed: {"type":"trades","coin":"BTC"}'
    for _ in range(2):
        say(talk, "unsubscribe", type="trades", coin="BTC")
    assert line.said[-1]["data"] == 'Already unsubscribed: {"type":"trades","coin":"BTC"}'
    assert line.streams == {}


def test_a_ping_has_a_pong_and_too_many_messages_an_end(talk, line):
    for n in range(MESSAGES_PER_MINUTE_MAX):
        talk.hear('{"method":"ping"}', n / 100)
    assert line.said[-1] == {"channel": "pong"}
    assert line.closed is None
    talk.hear('{"method":"ping"}', 59.9)
    assert line.closed is not None


def test_there_is_one_path(exchange):
    assert exchange.dialect.open("/stream", {}) is None


def test_names_and_decimals_follow_the_venues_rules():
    found = Perpetuals(SimulatorOptions()).symbols(SimulatorOptions(symbols=200))
    names = [symbol.name for symbol in found]
    assert names[0] == "BTC"
    assert len(set(names)) == 200
    assert any(re.fullmatch("k[A-Z]+", name) for name in names)
    for symbol in found:
        assert symbol.price_scale + symbol.qty_scale <= 6
        assert symbol.quote == "USDC"
        assert 1_000 <= symbol.start_price < 1_000_000


def test_ids_have_no_order_and_no_two_are_alike(exchange):
    ids = [
        exchange.dialect.trade_id(ledger.symbol, row)
        for ledger in exchange.ledgers.values()
        for row in ledger.rows(0, ledger.next_id)
    ]
    assert len(set(ids)) == len(ids) > 1_000
    assert ids != sorted(ids)
    assert all(0 <= tid < 2**50 for tid in ids)


def test_who_subscribes_to_trades_is_told_thirty_of_the_past_unflagged(exchange):
    (frame,) = exchange.dialect.feed(Stream("trades", "BTC"), exchange).welcome(NOW_MS)
    told = orjson.loads(frame)
    assert told["channel"] == "trades"
    assert len(told["data"]) == 30
    assert all("isSnapshot" not in trade for trade in told["data"])
    assert all(re.fullmatch(r"\d+\.\d+", t["px"] + "") for t in told["data"])
    assert {trade["side"] for trade in told["data"]} <= {"A", "B"}


def test_books_are_whole_and_pushed_twice_a_second(exchange):
    feed = exchange.dialect.feed(Stream("books", "BTC"), exchange)
    book, bid = exchange.book("BTC"), exchange.flow.bid(0)
    pushed = [feed.encode(book.step(bid, NOW_MS + at), 0) for at in range(0, 2_000, 100)]
    frames = [orjson.loads(frame) for push in pushed for frame in push]
    assert [f["data"]["time"] - NOW_MS for f in frames] == [0, 500, 1_000, 1_500]
    for frame in frames:
        bids, asks = ([float(level["px"]) for level in side] for side in frame["data"]["levels"])
        assert len(bids) == len(asks) == 20
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
    fast = exchange.dialect.feed(Stream("books", "BTC", "fast"), exchange).welcome(NOW_MS)
    assert [len(side) for side in orjson.loads(fast[0])["data"]["levels"]] == [5, 5]


def test_a_delisted_coin_is_acknowledged_and_has_an_empty_book(exchange, talk, line):
    say(talk, "subscribe", type="l2Book", coin="MATIC")
    assert line.said[0]["channel"] == "subscriptionResponse"
    (frame,) = exchange.dialect.feed(Stream("books", "MATIC"), exchange).encode(NOW_MS)
    assert orjson.loads(frame)["data"]["levels"] == [[], []]
    assert exchange.dialect.feed(Stream("trades", "MATIC"), exchange) is None


def test_a_context_writes_every_number_as_text(exchange):
    (frame,) = exchange.dialect.feed(Stream("tickers", "BTC"), exchange).encode(NOW_MS)
    ctx = orjson.loads(frame)["data"]["ctx"]
    numbers = [value for name, value in ctx.items() if name != "impactPxs"]
    assert all(re.fullmatch(r"-?\d+\.\d+", number) for number in numbers)
    assert abs(float(ctx["premium"])) < 0.01


async def test_meta_names_what_trades_and_what_is_delisted(exchange):
    universe = (await ask(exchange, {"type": "meta"})).body["universe"]
    assert [a["name"] for a in universe] == ["BTC", "ETH", "SOL", "BNB", "MATIC", "FTM"]
    assert [a.get("isDelisted", False) for a in universe] == [False] * 4 + [True] * 2
    meta, contexts = (await ask(exchange, {"type": "metaAndAssetCtxs"})).body
    assert len(meta["universe"]) == len(contexts)


async def test_every_question_has_an_answer(exchange):
    mids = (await ask(exchange, {"type": "allMids"})).body
    assert set(mids) == set(exchange.ledgers)
    book = (await ask(exchange, {"type": "l2Book", "coin": "ETH"})).body
    assert (book["coin"], len(book["levels"][0])) == ("ETH", 20)
    assert (await ask(exchange, {"type": "l2Book", "coin": "NOPE"})).body is None
    trades = (await ask(exchange, {"type": "recentTrades", "coin": "BTC"})).body
    assert trades[0]["time"] >= trades[-1]["time"]
    wish = {"coin": "BTC", "interval": "1m", "startTime": NOW_MS - 60_000, "endTime": NOW_MS}
    candles = (await ask(exchange, {"type": "candleSnapshot", "req": wish})).body
    assert sum(candle["n"] for candle in candles) == len(exchange.ledgers["BTC"])


async def test_bad_questions_and_too_many_are_refused(exchange):
    assert (await ask(exchange, b"x")).status == 422
    assert (await ask(exchange, {"type": "dance"})).status == 422
    assert (await ask(exchange, {"type": "meta"}, method="GET")).status == 405
    assert (await ask(exchange, {"type": "meta"}, path="/exchange")).status == 404
    for odd in (["BTC"], 5, None):
        for kind in ("l2Book", "recentTrades"):
            assert (await ask(exchange, {"type": kind, "coin": odd})).body is None
        wish = {"coin": odd, "interval": odd, "startTime": "x"}
        assert (await ask(exchange, {"type": "candleSnapshot", "req": wish})).body == []
    exchange.dialect = Perpetuals(SimulatorOptions())
    exchange.dialect.symbols(SimulatorOptions())
    statuses = [(await ask(exchange, {"type": "meta"})).status for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    assert exchange.dialect.refuse(5, is_banned=True).status == 429


@pytest.mark.parametrize(
    "stream",
    [
        Stream("trades", "BTC"),
        Stream("books", "BTC"),
        Stream("tickers", "BTC"),
        Stream("venue-klines", "BTC", "1m"),
    ],
)
def test_a_spoilt_message_has_a_word_for_a_price(exchange, stream):
    feed = exchange.dialect.feed(stream, exchange)
    frames = feed.welcome(NOW_MS) or feed.encode(NOW_MS)
    spoilt = exchange.dialect.spoil(frames[0])
    assert spoilt != frames[0]
    assert spoilt.count(b'"price"') == 1
    assert orjson.loads(spoilt)
