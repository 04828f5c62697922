"""Klines mode: the venue's candles in our envelope, each said again the same after a crash."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciling import BASE_MS, MINUTE_MS, venue, venue_value

from processors.fold import UnknownState, Unreadable
from processors.venue.klines import VenueKlines
from processors.venue.official import NOT_TOLD
from processors.venue.told import frame_of, not_streamed
from schemas.intervals import DAY_MS, WEEK_MS, Interval, parse_interval, parse_intervals
from schemas.klines import decode_klines, decode_prices
from schemas.topics import KLINES, KLINES_LIVE, PRICES, VENUE_KLINES

LIVE_EVERY_MS = 250


def new_fold() -> VenueKlines:
    return VenueKlines(parse_intervals(["1s", "1m"]), live_every_ms=LIVE_EVERY_MS)


class Feed:
    """Venue rows in, rows by topic out."""

    def __init__(self, exchange: str = "binance") -> None:
        self.fold = new_fold()
        self.exchange = exchange
        self.offset = 0
        self.now_ms = BASE_MS

    def take(self, *rows) -> None:
        self.fold.apply(VENUE_KLINES, 0, self.offset, venue_value(*rows, exchange=self.exchange))
        self.offset += 1

    def say(self, after_ms: int = LIVE_EVERY_MS) -> dict[str, list]:
        self.now_ms += after_ms
        said = {KLINES.name: [], KLINES_LIVE.name: [], PRICES.name: []}
        for topic, key, value in self.fold.outputs(self.now_ms, {0}):
            assert key == f"{self.exchange}:spot:S".encode()
            decode = decode_prices if topic == PRICES else decode_klines
            said[topic.name] += decode(value).data
        return said

    def closed(self) -> list:
        return self.say()[KLINES.name]


def test_a_closed_candle_is_passed_on_as_it_was_told():
    feed = Feed()
    told = venue(
        0,
        quote_volume=Decimal("33.123450"),
        taker_buy_volume=Decimal("1.5"),
        taker_buy_quote_volume=Decimal("15.25"),
        trade_count=7,
    )
    feed.take(told)
    (row,) = feed.closed()
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "trade_count"):
        assert getattr(row, name) == getattr(told, name)
    assert (row.taker_buy_volume, row.taker_buy_quote_volume) == (Decimal("1.5"), Decimal("15.25"))
    assert (row.frame, row.timestamp) == (Interval(MINUTE_MS), BASE_MS)
    assert (row.closed, row.rev, row.cause) == (True, 0, "venue")
    assert (row.quality, row.missing) == ("assumed", 0)


def test_what_the_venue_does_not_tell_is_marked_and_never_made_up():
    feed = Feed()
    feed.take(venue(0))
    (row,) = feed.closed()
    fields = (row.quote_volume, row.taker_buy_volume, row.taker_buy_quote_volume)
    assert fields == (NOT_TOLD,) * 3
    assert (row.trade_count, row.first_id, row.last_id) == (NOT_TOLD,) * 3


def test_where_nothing_traded_every_part_is_nothing_told_or_not():
    feed = Feed("bybit")
    feed.take(venue(0, volume=Decimal(0)))
    (row,) = feed.closed()
    assert (row.quote_volume, row.taker_buy_volume, row.trade_count) == (0, 0, 0)


def test_open_candles_and_prices_are_throttled_and_closed_ones_are_not():
    feed = Feed()
    feed.take(venue(0, "10.5", closed=False, ts=BASE_MS + 1))
    said = feed.say()
    assert [(r.close, r.closed, r.rev) for r in said[KLINES_LIVE.name]] == [
        (Decimal("10.5"), False, 0)
    ]
    assert [(r.price, r.ts, r.rev) for r in said[PRICES.name]] == [
        (Decimal("10.5"), BASE_MS + 1, 0)
    ]
    feed.take(venue(0, "10.6", closed=False, ts=BASE_MS + 2))
    assert feed.say(LIVE_EVERY_MS - 1)[KLINES_LIVE.name] == []
    feed.take(venue(0, "10.7"))
    said = feed.say(0)
    assert [(r.close, r.rev) for r in said[KLINES.name]] == [(Decimal("10.7"), 2)]
    assert said[PRICES.name] == []
    said = feed.say(1)
    assert said[KLINES_LIVE.name] == []  # it is closed
    assert [r.price for r in said[PRICES.name]] == [Decimal("10.7")]


def test_a_price_whose_time_is_not_told_is_not_before_its_candle():
    feed = Feed("hyperliquid")
    feed.take(venue(0, closed=False, ts=0))
    assert [row.ts for row in feed.say()[PRICES.name]] == [BASE_MS]


def test_repeats_and_older_rows_say_nothing():
    feed = Feed()
    feed.take(venue(0, "10.5"))
    feed.take(venue(1, "10.6", closed=False, ts=BASE_MS + MINUTE_MS + 500))
    feed.say()
    feed.take(venue(0, "10.5"))
    feed.take(venue(0, "10.1", closed=False))
    feed.take(venue(1, "10.1", closed=False, ts=BASE_MS + MINUTE_MS + 400))
    assert feed.say() == {KLINES.name: [], KLINES_LIVE.name: [], PRICES.name: []}


def test_without_a_time_of_the_update_volume_only_grows():
    feed = Feed("hyperliquid")
    feed.take(venue(0, "10.5", closed=False, ts=0, volume=Decimal(5)))
    feed.say()
    feed.take(venue(0, "10.4", closed=False, ts=0, volume=Decimal(4)))
    assert feed.say()[KLINES_LIVE.name] == []


def test_a_correction_of_a_closed_candle_has_a_higher_revision():
    feed = Feed()
    feed.take(venue(0, "10.5"))
    feed.take(venue(1, "10.6", closed=False))
    feed.say()
    feed.take(venue(0, "10.7", ts=BASE_MS + MINUTE_MS + 900))
    assert [(r.close, r.rev) for r in feed.closed()] == [(Decimal("10.7"), 2)]


@pytest.mark.parametrize("exchange", ["hyperliquid", "kraken"])
def test_the_next_candle_closes_the_one_before_where_no_word_does(exchange):
    feed = Feed(exchange)
    feed.take(venue(0, "10.5", closed=False, ts=0))
    assert feed.closed() == []
    feed.take(venue(1, "10.6", closed=False, ts=0))
    assert [(r.close, r.closed, r.rev) for r in feed.closed()] == [(Decimal("10.5"), True, 1)]


def test_a_candle_that_was_never_told_to_its_end_is_not_called_closed():
    feed = Feed("bybit")
    feed.take(venue(0, closed=False))
    feed.take(venue(1, closed=False))
    assert feed.closed() == []


def test_only_wanted_intervals_are_passed_on():
    feed = Feed()
    feed.take(venue(0, interval=5 * MINUTE_MS, timestamp=BASE_MS // 300_000 * 300_000))
    assert feed.closed() == []


def test_what_no_venue_is_asked_for_is_known():
    wanted = parse_intervals(["1m", "173m", "1s"])
    assert {interval.text for interval in not_streamed(wanted)} == {"1s", "173m"}


@pytest.mark.parametrize(
    ("interval", "name", "opened", "text"),
    [
        (MINUTE_MS, "1m", BASE_MS, "1m"),
        (MINUTE_MS, "1m", BASE_MS + 1, None),
        (WEEK_MS, "1w", 4 * DAY_MS, "1w@mon"),
        (WEEK_MS, "10080", WEEK_MS, "7D"),
        (30 * DAY_MS, "1M", 31 * DAY_MS, "1M"),
        (31 * DAY_MS, "?", 0, None),
    ],
)
def test_a_venues_window_is_ours_or_none(interval, name, opened, text):
    frame = frame_of(venue(0, interval=interval, name=name, timestamp=opened))
    assert frame == (None if text is None else parse_interval(text))


def test_what_cannot_be_read_is_refused_and_changes_nothing():
    feed = Feed()
    for value in (b"", b"{}", venue_value(venue(0)).replace(b":3.25", b':"Infinity"')):
        with pytest.raises(Unreadable):
            feed.fold.apply(VENUE_KLINES, 0, 0, value)
    assert feed.fold.take_dirty() == []
    for value in (b"{", b'{"v":2}'):
        with pytest.raises(UnknownState):
            feed.fold.restore(0, {b"binance:spot:S": value})


def rows_of(seed: int) -> list:
    """Rows of nine minutes, more or less in order, some told twice."""
    random = Random(seed)
    rows = []
    for step in range(random.randrange(30)):
        minute = max(0, step // 3 - random.choice((0, 0, 0, 1, 2, 5)))
        close = random.choice(("10.5", "10.6", "10.7"))
        volume = Decimal(random.randrange(1, 4))
        closed = random.random() < 0.4
        rows.append(venue(minute, close, closed=closed, ts=step // 2, volume=volume))
    return rows


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_crash_repeats_the_same_revisions_and_loses_none(seed):
    rows, random = rows_of(seed), Random(seed + 1)
    exchange = random.choice(("binance", "kraken"))
    steady = Feed(exchange)
    expected: dict[tuple, object] = {}
    for row in rows:
        steady.take(row)
        expected |= {(r.timestamp, r.rev, r.closed): r for r in steady.closed()}

    feed, changelog, position, said = Feed(exchange), {}, 0, {}
    while feed.offset < len(rows):
        feed.take(rows[feed.offset])
        if random.random() < 0.7:
            told(feed, said)
        if random.random() < 0.3:
            told(feed, said)
            changelog |= {key: value for _, key, value in feed.fold.take_dirty()}
            position = feed.offset if random.random() < 0.7 else position
        if random.random() < 0.2:
            feed.fold, feed.offset = new_fold(), position
            feed.fold.restore(0, changelog)
    told(feed, said)
    last = {key[0]: row for key, row in sorted(expected.items())}
    found = {key[0]: row for key, row in sorted(said.items()) if key[2]}
    assert found == last


def told(feed: Feed, said: dict) -> list:
    """Return what is said now, and hold it against what was said under the same revision."""
    found = feed.say()
    rows = found[KLINES.name] + found[KLINES_LIVE.name]
    for row in rows:
        key = (row.timestamp, row.rev, row.closed)
        assert said.get(key, row) == row
        said[key] = row
    return rows
