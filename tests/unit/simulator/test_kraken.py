"""The simulated Kraken without a socket: its words, its numbers, its checksum."""

import json
import re
import zlib
from itertools import chain

import orjson
import pytest

from simulator.dialect import Asked
from simulator.exchange import Exchange
from simulator.feeds import Stream
from simulator.options import SimulatorOptions
from simulator.venues.kraken.dialect import Spot
from simulator.venues.kraken.feeds import BEAT, checksum
from simulator.venues.kraken.words import time

NOW_MS = 1_790_000_000_000


class Line:
    """What a dialect did to a connection."""

    def __init__(self) -> None:
        self.wrap = None
        self.streams = {}
        self.said = []

    def reply(self, message):
        self.said.append(orjson.loads(message))

    def subscribe(self, stream):
        self.streams[stream] = None
        self.said.append(stream)

    def unsubscribe(self, stream):
        del self.streams[stream]

    def close(self, code, reason):
        raise AssertionError((code, reason))


@pytest.fixture
def exchange() -> Exchange:
    options = SimulatorOptions(exchanges=("kraken",), markets=("spot",), symbols=4)
    made = Exchange(Spot(options), options, trades_per_s=400, rows_max=100_000)
    made.make_history(20_000, NOW_MS)
    return made


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def talk(exchange, line):
    return exchange.dialect.open("/v2", {})(line)


def say(talk, method, channel="trade", symbols=("BTC/USD",), **more):
    params = {"channel": channel, "symbol": list(symbols), **more}
    talk.hear(json.dumps({"method": method, "params": params, "req_id": 7}), 0.0)


async def ask(exchange, path, method="GET", **query):
    asked = Asked(method=method, path=f"/0/public/{path}", query=query, body=b"", now_ms=NOW_MS)
    return await exchange.dialect.rest(asked, exchange)


def texts(frame):
    """The message with every number as it was written."""
    return json.loads(frame, parse_float=str, parse_int=str)


def test_a_connection_is_greeted_with_the_status(talk, line):
    assert [said["channel"] for said in line.said] == ["status"]


def test_every_symbol_of_a_request_has_an_answer_and_then_its_stream(talk, line):
    say(talk, "subscribe", "book", ["BTC/USD", "XBT/USD", "ETH/USD"], depth=100)
    _, first, book, beat, refused, second, other = line.said
    assert first["result"] == {
        "channel": "book",
        "snapshot": True,
        "symbol": "BTC/USD",
        "depth": 100,
    }
    assert (first["success"], first["req_id"]) == (True, 7)
    assert book == Stream("books", "BTC/USD", "100:snapshot")
    assert beat == BEAT
    assert (refused["success"], refused["symbol"]) == (False, "XBT/USD")
    assert refused["error"] == "Currency pair not supported XBT/USD"
    assert "result" not in refused
    assert (second["result"]["symbol"], other.symbol) == ("ETH/USD", "ETH/USD")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"channel": "book", "depth": 7}, "Subscription depth not supported"),
        ({"channel": "ohlc", "interval": 2}, "Subscription ohlc interval not supported"),
        ({"channel": "ohlc", "interval": True}, "Subscription ohlc interval not supported"),
        ({"channel": "book", "depth": 10.0}, "Subscription depth not supported"),
        ({"channel": "news"}, "Invalid channel news"),
        ({"channel": ["trade"]}, "Invalid channel ['trade']"),
    ],
)
def test_what_there_is_not_is_refused_by_symbol(talk, line, wish, said):
    say(talk, "subscribe", **wish)
    assert line.said[-1]["error"] == said
    assert line.streams == {}


def test_twice_is_refused_and_what_is_left_can_be_had_again(talk, line):
    say(talk, "subscribe")
    say(talk, "subscribe")
    assert line.said[-1]["error"] == "Already subscribed"
    say(talk, "unsubscribe")
    assert line.said[-1]["success"] is True
    assert list(line.streams) == [BEAT]
    say(talk, "unsubscribe")
    assert line.said[-1]["success"] is False


@pytest.mark.parametrize("text", ["x", "[]", '{"method":"dance"}', '{"method":"subscribe"}'])
def test_what_cannot_be_read_is_refused_and_the_connection_stays(talk, line, text):
    talk.hear(text, 0.0)
    assert line.said[-1]["success"] is False


def test_a_ping_has_a_pong(talk, line):
    talk.hear('{"method":"ping","req_id":101}', 0.0)
    assert (line.said[-1]["method"], line.said[-1]["req_id"]) == ("pong", 101)


def test_trades_are_json_numbers_with_all_decimals(exchange):
    feed = exchange.dialect.feed(Stream("trades", "BTC/USD", ":snapshot"), exchange)
    (frame,) = feed.welcome(NOW_MS)
    told = texts(frame)
    assert (told["channel"], told["type"], len(told["data"])) == ("trade", "snapshot", 50)
    assert all(re.fullmatch(r"\d+\.\d{2}", trade["price"]) for trade in told["data"])
    assert all(re.fullmatch(r"\d+\.\d{8}", trade["qty"]) for trade in told["data"])
    ids = [int(trade["trade_id"]) for trade in told["data"]]
    assert ids == sorted(ids)
    assert exchange.dialect.feed(Stream("trades", "BTC/USD"), exchange).welcome(NOW_MS) == ()


def test_the_checksum_is_over_what_is_written(exchange):
    feed = exchange.dialect.feed(Stream("books", "BTC/USD", "10"), exchange)
    (row,) = texts(feed.welcome(NOW_MS)[0])["data"]
    written = "".join(
        level[field].replace(".", "").lstrip("0")
        for level in chain(row["asks"], row["bids"])
        for field in ("price", "qty")
    )
    assert int(row["checksum"]) == zlib.crc32(written.encode())
    assert checksum(exchange.symbols[0], [], []) == 0


def test_updates_keep_a_client_that_cuts_at_the_depth_in_step(exchange):
    feed = exchange.dialect.feed(Stream("books", "BTC/USD", "10"), exchange)
    book = exchange.book("BTC/USD")
    mine = {"bids": {}, "asks": {}}
    cut = unordered = 0
    frames = [*feed.welcome(NOW_MS)]
    for at in range(200):
        exchange.flow.advance(at * 100, at * 100 + 100)
        frames += feed.encode(book.step(exchange.flow.bid(0), NOW_MS + at * 100), 0)
    for frame in frames:
        (row,) = texts(frame)["data"]
        for name, sign in (("bids", -1), ("asks", 1)):
            side = mine[name]
            prices = [sign * float(level["price"]) for level in row[name]]
            unordered += prices != sorted(prices)
            side.update((level["price"], level["qty"]) for level in row[name])
            held = {p: q for p, q in side.items() if float(q)}
            best = sorted(held, key=lambda price, sign=sign: sign * float(price))
            cut += len(best) - min(len(best), 10)
            mine[name] = {price: held[price] for price in best[:10]}
        written = "".join(
            text.replace(".", "").lstrip("0")
            for level in chain(mine["asks"].items(), mine["bids"].items())
            for text in level
        )
        assert zlib.crc32(written.encode()) == int(row["checksum"])
    assert len(frames) > 150
    assert cut > 10, "no level ever fell below the depth: the rule was not tried"
    assert unordered > 10


def test_candles_begin_with_those_of_the_past(exchange):
    feed = exchange.dialect.feed(Stream("venue-klines", "BTC/USD", "1:snapshot"), exchange)
    told = texts(feed.welcome(NOW_MS)[0])
    assert (told["channel"], told["type"]) == ("ohlc", "snapshot")
    assert sum(int(row["trades"]) for row in told["data"]) == len(exchange.ledgers["BTC/USD"])
    assert told["timestamp"].endswith("000Z")
    assert told["data"][0]["interval_begin"].endswith(":00.000000000Z")


def test_the_beat_goes_on_while_nothing_is_traded(exchange):
    feed = exchange.dialect.feed(BEAT, exchange)
    assert list(feed.encode(NOW_MS)) == [b'{"channel":"heartbeat"}']
    assert feed.while_stopped


def test_times_are_written_to_the_digit():
    assert time(1_695_628_177_708) == "2023-09-25T07:49:37.708000Z"
    assert time(1_695_628_177_708, 9) == "2023-09-25T07:49:37.708000000Z"


async def test_pairs_have_the_old_name_inside_and_the_new_one_as_key(exchange):
    body = (await ask(exchange, "AssetPairs", assetVersion="1")).body
    assert body["error"] == []
    assert [*body["result"]] == ["BTC/USD", "ETH/USD", "SOL/USD", "BNB/USD", "NANO/USD"]
    assert body["result"]["BTC/USD"]["wsname"] == "XBT/USD"
    assert body["result"]["NANO/USD"]["status"] == "cancel_only"
    assert "XBTUSD" in (await ask(exchange, "AssetPairs")).body["result"]
    tickers = (await ask(exchange, "Ticker", assetVersion="1")).body["result"]
    assert tickers["BTC/USD"]["t"][1] == len(exchange.ledgers["BTC/USD"])


async def test_bad_questions_and_too_many_are_refused_in_the_body(exchange):
    assert (await ask(exchange, "Dance")).body == {"error": ["EGeneral:Unknown method"]}
    assert (await ask(exchange, "Time", method="POST")).body["error"]
    statuses = [(await ask(exchange, "Time")).status for _ in range(20)]
    assert statuses[-1] == 429
    refused = exchange.dialect.refuse(5, is_banned=False)
    assert (refused.status, refused.body) == (429, {"error": ["EGeneral:Too many requests"]})


@pytest.mark.parametrize(
    "stream",
    [
        Stream("trades", "BTC/USD", ":snapshot"),
        Stream("books", "BTC/USD", "10"),
        Stream("venue-klines", "BTC/USD", "1:snapshot"),
    ],
)
def test_a_spoilt_message_has_a_word_for_a_price(exchange, stream):
    (frame,) = exchange.dialect.feed(stream, exchange).welcome(NOW_MS)
    spoilt = exchange.dialect.spoil(frame)
    assert spoilt.count(b':"price"') == 1
    assert orjson.loads(spoilt)
