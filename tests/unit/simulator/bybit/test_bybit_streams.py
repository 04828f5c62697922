"""What the simulated Bybit streams, against the shapes that were captured and documented."""

import json
from itertools import pairwise

import pytest

from simulator.exchange import Exchange
from simulator.feeds import BookFeed, Forced, LiquidationFeed, Stream, TimedFeed, TradeFeed
from simulator.ledger import Row
from simulator.options import SimulatorOptions
from simulator.venues.bybit import VENUE

NOW_MS = 1_790_000_000_000
KEYS = {
    # of the frame, and of (the first of) its data
    "linear trades": ("topic type ts data", "T s S v p L i BT RPI seq"),
    "spot trades": ("topic ts type data", "i T p v S seq s BT RPI"),
    "linear books": ("topic type ts data cts", "s b a u seq"),
    "spot books": ("topic ts type data cts", "s b a u seq"),
}


def market(channel: str) -> Exchange:
    options = SimulatorOptions(symbols=3, exchanges=("bybit",))
    dialect = VENUE.channels[channel](options)
    exchange = Exchange(dialect, options, trades_per_s=500, rows_max=100_000)
    exchange.make_history(30_000, NOW_MS)
    return exchange


def rows(count: int) -> list[Row]:
    return [Row(n, NOW_MS + n // 3, 6_801_240 + n % 5, 20, 1, n, n) for n in range(1, count + 1)]


def read(messages) -> list[dict]:
    return [json.loads(message) for message in messages]


def check_keys(name: str, frame: dict) -> None:
    outer, inner = KEYS[name]
    data = frame["data"][0] if isinstance(frame["data"], list) else frame["data"]
    assert (" ".join(frame), " ".join(data)) == (outer, inner)


@pytest.mark.parametrize("channel", ["spot", "linear"])
def test_trades_come_in_frames_of_at_most_1024_with_the_ids_of_the_truth(channel: str) -> None:
    exchange = market(channel)
    dialect, symbol = exchange.dialect, exchange.symbols[0]
    feed = dialect.feed(Stream("trades", "BTCUSDT"), exchange)
    assert isinstance(feed, TradeFeed)
    trades = rows(2_500)
    frames = read(feed.encode(trades, NOW_MS + 900))
    assert [len(f["data"]) for f in frames] == [1_024, 1_024, 452]
    check_keys(f"{channel} trades", frames[0])
    told = [t for f in frames for t in f["data"]]
    assert [t["T"] for t in told] == [row.ts_ms for row in trades]
    ids = [t["i"] for t in told]
    assert len(set(ids)) == len(ids)
    if channel == "linear":
        assert ids == [dialect.trade_uid(symbol, row) for row in trades]
        assert [t["seq"] for t in told] == [dialect.trade_id(symbol, row) for row in trades]
    else:
        assert [int(i) for i in ids] == [dialect.trade_id(symbol, row) for row in trades]
        assert all(after - before > 1 for before, after in pairwise(map(int, ids)))
    assert {t["RPI"] for t in told} == {True, False}


def test_the_direction_of_linear_trades_follows_their_prices() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("trades", "BTCUSDT"), exchange)
    assert isinstance(feed, TradeFeed)
    prices = [100, 100, 110, 110, 90, 90]
    trades = [Row(n, NOW_MS, p, 1, 1, n, n) for n, p in enumerate(prices, 1)]
    (frame,) = read(feed.encode(trades, NOW_MS))
    assert [t["L"] for t in frame["data"]] == [
        "PlusTick",
        "ZeroPlusTick",
        "PlusTick",
        "ZeroPlusTick",
        "MinusTick",
        "ZeroMinusTick",
    ]


def steps(exchange: Exchange, feed: BookFeed, count: int, every_ms: int = 100) -> list[dict]:
    book = exchange.book("BTCUSDT")
    frames = []
    for n in range(1, count + 1):
        change = book.step(exchange.flow.bid(0), NOW_MS + n * every_ms)
        frames += read(feed.encode(change, NOW_MS + n * every_ms))
    return frames


def applied(book: dict[str, dict], frame: dict) -> dict[str, dict]:
    sides = {"b": {}, "a": {}} if frame["type"] == "snapshot" else book
    for side in "ba":
        for price, qty in frame["data"][side]:
            sides[side].pop(price, None)
            if float(qty):
                sides[side][price] = qty
    return sides


@pytest.mark.parametrize("channel", ["spot", "linear"])
def test_a_book_of_200_is_kept_whole_by_its_deltas(channel: str) -> None:
    exchange = market(channel)
    feed = exchange.dialect.feed(Stream("books", "BTCUSDT", "200"), exchange)
    assert isinstance(feed, BookFeed)
    (snapshot,) = read(feed.welcome(NOW_MS))
    check_keys(f"{channel} books", snapshot)
    assert len(snapshot["data"]["b"]) == len(snapshot["data"]["a"]) == 200
    deltas = steps(exchange, feed, 50)
    assert {f["type"] for f in deltas} == {"delta"}
    ids = [f["data"]["u"] for f in (snapshot, *deltas)]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    book: dict[str, dict] = {}
    for frame in (snapshot, *deltas):
        book = applied(book, frame)
        assert max(map(float, book["b"])) < min(map(float, book["a"]))
    (again,) = read(feed.welcome(NOW_MS + 9_000))
    assert again["data"]["u"] == ids[-1]
    assert dict(again["data"]["b"]) == book["b"]
    assert dict(again["data"]["a"]) == book["a"]


def test_a_restart_is_a_snapshot_with_the_update_id_1() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("books", "BTCUSDT", "50"), exchange)
    assert isinstance(feed, BookFeed)
    steps(exchange, feed, 5)
    assert feed.restart
    (frame,) = read(feed.restart(NOW_MS))
    assert (frame["type"], frame["data"]["u"]) == ("snapshot", 1)
    assert steps(exchange, feed, 20)[0]["data"]["u"] == 2


def test_the_best_prices_are_snapshots_and_repeated_after_3_s_of_silence() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("books", "BTCUSDT", "1"), exchange)
    assert isinstance(feed, BookFeed)
    frames = steps(exchange, feed, 30)
    assert {f["type"] for f in frames} == {"snapshot"}
    assert all(len(f["data"]["b"]) == 1 for f in frames)
    last = frames[-1]["data"]
    change = exchange.book("BTCUSDT").step(exchange.flow.bid(0), NOW_MS)
    now_ms = NOW_MS + 60_000
    told = [read(feed.encode(change, now_ms + n * 1_000)) for n in range(5)]
    repeated = [frame["data"] for frames in told[1:] for frame in frames]
    assert [d["u"] for d in repeated] == [told[0][0]["data"]["u"] if told[0] else last["u"]]


def test_linear_tickers_tell_a_snapshot_and_then_only_what_changed() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("tickers", "BTCUSDT"), exchange)
    assert isinstance(feed, TimedFeed)
    assert feed.encode(NOW_MS) == ()  # nobody was welcomed yet
    (snapshot,) = read(feed.welcome(NOW_MS))
    assert list(snapshot) == ["topic", "type", "data", "cs", "ts"]
    state = dict(snapshot["data"])
    assert {"fundingRate", "openInterest", "markPrice", "nextFundingTime"} <= state.keys()
    assert float(state["openInterest"]) == 2 * float(state["singleOpenInterest"])
    deltas = [f for n in range(1, 40) for f in read(feed.encode(NOW_MS + n * 100))]
    assert {f["type"] for f in deltas} == {"delta"}
    assert any("openInterest" not in f["data"] or "fundingRate" not in f["data"] for f in deltas)
    for frame in deltas:
        changed = {k: v for k, v in frame["data"].items() if k != "symbol"}
        assert all(state[k] != v for k, v in changed.items())
        state |= changed
    (again,) = read(feed.welcome(NOW_MS + 4_000))
    assert again["data"] == state  # it fits the next delta


def test_spot_tickers_are_whole_and_have_no_best_prices() -> None:
    exchange = market("spot")
    feed = exchange.dialect.feed(Stream("tickers", "BTCUSDT"), exchange)
    assert isinstance(feed, TimedFeed)
    frames = [f for n in range(9) for f in read(feed.encode(NOW_MS + n * 100))]
    assert {f["type"] for f in frames} == {"snapshot"}
    assert all(len(f["data"]) == 9 and "bid1Price" not in f["data"] for f in frames)


def test_a_candle_opens_at_the_close_before_it_and_closes_beside_the_next() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("venue-klines", "BTCUSDT", "1"), exchange)
    assert isinstance(feed, TimedFeed)
    feed.encode(NOW_MS)
    minute_ms = NOW_MS - NOW_MS % 60_000 + 60_000
    (frame,) = read(feed.encode(minute_ms + 500))
    closed, growing = frame["data"]
    assert (closed["confirm"], growing["confirm"]) == (True, False)
    assert growing["open"] == growing["high"] == growing["low"] == closed["close"]
    assert (growing["volume"], growing["start"]) == ("0", closed["end"] + 1)


def test_a_liquidation_tells_the_side_of_the_position() -> None:
    exchange = market("linear")
    feed = exchange.dialect.feed(Stream("liquidations", "BTCUSDT"), exchange)
    assert isinstance(feed, LiquidationFeed)
    forced = Forced(exchange.symbols[0], NOW_MS, -1, 6_801_240, 20)
    (frame,) = read(feed.encode(forced, NOW_MS))
    assert frame["data"] == [
        {"T": NOW_MS, "s": "BTCUSDT", "S": "Buy", "v": "0.020", "p": "68012.40"}
    ]


@pytest.mark.parametrize("kind", ["trades", "books", "tickers", "venue-klines"])
def test_a_spoiled_message_has_a_word_for_its_first_price(kind) -> None:
    exchange = market("linear")
    parameter = {"books": "50", "venue-klines": "1"}.get(kind, "")
    feed = exchange.dialect.feed(Stream(kind, "BTCUSDT", parameter), exchange)
    if isinstance(feed, TradeFeed):
        (message,) = feed.encode(rows(1), NOW_MS)
    elif isinstance(feed, BookFeed):
        (message,) = feed.welcome(NOW_MS)
    else:
        assert isinstance(feed, TimedFeed)
        (message,) = feed.welcome(NOW_MS) or feed.encode(NOW_MS)
    assert exchange.dialect.spoil(message).count(b'"abc"') == 1


def test_streams_that_bybit_does_not_have_stay_silent() -> None:
    exchange = market("linear")
    assert exchange.dialect.feed(Stream("funding", "BTCUSDT"), exchange) is None
    assert exchange.dialect.open("/v5/public/spot", {}) is None
    assert exchange.dialect.open("/v5/public/linear", {})
