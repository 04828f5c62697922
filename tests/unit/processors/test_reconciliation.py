"""Each verdict, each explanation, and what a candle waits for."""

import json
from decimal import Decimal

import pytest
from reconciling import BASE_MS, MINUTE_MS, Desk, ours, ours_value, venue, venue_value

from processors.fold import Unreadable
from processors.venue import series
from processors.venue.metrics import candles, count
from processors.venue.reconciliation import Reconciliations
from schemas.intervals import parse_intervals
from schemas.topics import KLINES, TRADES, VENUE_KLINES
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

TOLD_BY_BINANCE = {
    "quote_volume": Decimal("33.12345"),
    "taker_buy_volume": Decimal(1),
    "taker_buy_quote_volume": Decimal(10),
    "trade_count": 7,
}


def verdict(row) -> tuple[str, str]:
    return row.verdict, row.explanation


def compared(our_row, *venue_rows, exchange="binance"):
    """Return what is said of one candle of ours beside the venue's last row."""
    desk = Desk()
    desk.venue(*venue_rows, exchange=exchange)
    desk.ours(our_row, exchange=exchange)
    rows = {row.timestamp: row for row in desk.say()}
    return rows[our_row.timestamp]


def test_equal_candles_are_said_to_be_equal_in_every_field_that_the_venue_tells():
    row = compared(ours(0, rev=5), venue(0, **TOLD_BY_BINANCE))
    assert verdict(row) == ("equal", "")
    assert row.compared == [
        *("open", "high", "low", "close", "volume", "quote_volume"),
        *("taker_buy_volume", "taker_buy_quote_volume", "trade_count"),
    ]
    assert (row.differences, row.ours_rev, row.venue_rev) == ([], 5, 0)


def test_what_the_venue_does_not_tell_is_not_compared():
    row = compared(ours(0, trade_count=99), venue(0))
    assert verdict(row) == ("equal", "")
    assert row.compared == ["open", "high", "low", "close", "volume"]


def test_the_last_digit_makes_a_difference_and_trailing_zeros_do_not():
    told = {**TOLD_BY_BINANCE, "volume": Decimal("3.250000000000000000000000000000000001")}
    row = compared(ours(0), venue(0, **told))
    assert verdict(row) == ("differs", "unexplained")
    assert [each.field for each in row.differences] == ["volume"]
    assert (row.differences[0].ours, row.differences[0].venue) == (Decimal("3.25"), told["volume"])
    assert verdict(compared(ours(0), venue(0, volume=Decimal("3.2500")))) == ("equal", "")


def test_what_bybit_rounds_down_is_rounded_down_before_it_is_compared():
    cut = venue(0, quote_volume=Decimal("33.1234"))
    assert compared(ours(0), cut, exchange="bybit").verdict == "equal"
    assert compared(ours(0), cut, exchange="okx").verdict == "differs"
    rounded_up = venue(0, quote_volume=Decimal("33.1235"))
    assert compared(ours(0), rounded_up, exchange="bybit").verdict == "differs"


def test_missing_ids_explain_a_difference_and_are_counted():
    row = compared(ours(0, quality="gap", missing=3), venue(0, trade_count=10))
    assert (*verdict(row), row.detail) == ("differs", "ids-missing", "3 ids")


def test_a_candle_in_which_our_stream_began_is_explained():
    row = compared(ours(0, quality="gap"), venue(0, trade_count=10))
    assert verdict(row) == ("differs", "began-inside")


@pytest.mark.parametrize(
    ("told", "explanation"),
    [
        ({"open": "12.0", "high": "12.0"}, "open-rule"),
        ({"open": "8.0", "low": "8.0"}, "open-rule"),
        ({"open": "12.0"}, "unexplained"),  # the high would have to include it
        ({"open": "12.0", "high": "12.0", "volume": "3.26"}, "unexplained"),
    ],
)
def test_the_open_rule_explains_exactly_what_the_previous_close_does(told, explanation):
    before = venue(0, close=told["open"])
    now = venue(1, **{name: Decimal(value) for name, value in told.items()})
    assert verdict(compared(ours(1), before, now, exchange="bybit")) == ("differs", explanation)


def test_an_open_that_is_not_the_previous_close_is_not_explained_by_it():
    row = compared(ours(1), venue(0, close="10.6"), venue(1, open=Decimal("10.5")))
    assert verdict(row) == ("differs", "unexplained")


@pytest.mark.parametrize(
    ("flag", "volume", "name"),
    [(1, "3.75", "non-market"), (2, "2.75", "block"), (4, "2.75", "rpi")],
)
def test_flagged_trades_explain_a_volume_that_is_off_by_them(flag, volume, name):
    desk = Desk()
    group = SymbolTrades(
        "S", 1, 2, [1, 2], [BASE_MS, BASE_MS + 1], [105, 99], [50, 7], 1, flags=[flag, 0]
    )
    desk.take(TRADES, encode_batch(TradeBatch("binance", "spot", "live", 1, [group])))
    desk.ours(ours(0), ours(1))
    desk.venue(venue(0, volume=Decimal(volume)), venue(1, volume=Decimal(volume)))
    first, second = desk.say()
    assert (*verdict(first), first.detail) == ("differs", "flagged", name)
    assert verdict(second) == ("differs", "unexplained")


def test_a_later_revision_that_made_it_equal_is_named():
    desk = Desk()
    desk.ours(ours(0, "10.6", rev=4))
    desk.venue(venue(0))
    (first,) = desk.say()
    assert verdict(first) == ("differs", "unexplained")
    desk.ours(ours(0, rev=9, cause="late"))
    (second,) = desk.say()
    assert (*verdict(second), second.ours_rev) == ("equal", "late", 9)
    assert second.rev > first.rev


def test_a_later_row_of_the_venue_gives_a_new_verdict():
    desk = Desk()
    desk.ours(ours(0, "10.6"))
    desk.venue(venue(0))
    desk.say()
    desk.venue(venue(0, "10.6"))
    assert [verdict(row) for row in desk.say()] == [("equal", "")]
    assert [row.rev for row in desk.rows] == sorted({row.rev for row in desk.rows})


def test_repeats_of_either_topic_say_nothing_new():
    desk = Desk()
    for _ in range(2):
        desk.ours(ours(0, rev=3))
        desk.venue(venue(0))
    assert len(desk.say()) == 1
    desk.ours(ours(0, rev=2, close="11.0"))  # an older revision, told again
    desk.venue(venue(0, closed=False, volume=Decimal(1)))
    assert desk.say() == []


# -- missing


def test_a_candle_waits_for_its_counterpart_before_it_is_called_missing():
    desk = Desk()
    desk.venue(venue(0))
    desk.ours(ours(0))
    desk.say()
    desk.venue(venue(1))
    desk.ours(ours(2))
    assert desk.say() == []
    desk.ours(ours(3))
    assert {row.timestamp: verdict(row) for row in desk.say()} == {
        BASE_MS + MINUTE_MS: ("ours-missing", "unexplained")
    }
    desk.venue(venue(4))
    assert verdict(desk.say()[0]) == ("venue-missing", "unexplained")


def test_a_side_that_stopped_is_noticed_once_nothing_waits_to_be_read():
    desk = Desk()
    desk.venue(venue(0))
    desk.ours(*(ours(minute) for minute in range(12)))
    desk.say()
    assert desk.say() == []
    missing = desk.say(is_caught_up=True)
    assert [verdict(row) for row in missing] == [("venue-missing", "unexplained")]
    assert missing[0].timestamp == ours(1).timestamp


def test_a_candle_that_comes_after_it_was_called_missing_is_compared():
    desk = Desk()
    desk.venue(*(venue(minute) for minute in range(4)))
    desk.ours(ours(0), ours(3))
    assert verdict(desk.last_said(1)) == ("ours-missing", "unexplained")
    desk.ours(ours(1, rev=8))
    assert verdict(desk.last_said(1)) == ("equal", "")


def test_windows_without_a_trade_are_explained_on_either_side():
    desk = Desk()
    desk.venue(venue(0), venue(1, volume=Decimal(0)), venue(5))
    desk.ours(ours(0), ours(2, volume=Decimal(0)), ours(5))
    assert verdict(desk.last_said(1)) == ("ours-missing", "empty")
    assert verdict(desk.last_said(2)) == ("venue-missing", "empty")


def test_the_venues_candles_before_our_stream_are_no_riddle():
    desk = Desk()
    desk.venue(*(venue(minute) for minute in range(4)))
    desk.ours(ours(2), ours(5))
    assert verdict(desk.last_said(0)) == ("ours-missing", "stream-began")
    assert verdict(desk.last_said(3)) == ("ours-missing", "unexplained")


def test_what_was_said_before_our_stream_began_is_said_anew_when_it_has():
    desk = Desk()
    desk.venue(*(venue(minute) for minute in range(16)))
    early = {row.timestamp: row for row in desk.say(is_caught_up=True)}
    assert verdict(early[ours(3).timestamp]) == ("ours-missing", "stream-began")
    desk.ours(ours(2), ours(5))
    later = desk.last_said(3)
    assert verdict(later) == ("ours-missing", "unexplained")
    assert later.rev > early[later.timestamp].rev


def test_nothing_is_said_of_a_symbol_whose_candles_no_venue_tells():
    desk = Desk()
    desk.ours(*(ours(minute) for minute in range(100)))
    assert desk.say(is_caught_up=True) == []
    desk.save()
    assert json.loads(desk.changelog[b"binance:spot:S"])["series"][0]["cells"].keys() == {
        str(ours(minute).timestamp) for minute in range(100 - series.UNTOLD_MAX, 100)
    }


def test_a_topic_that_is_read_too_far_ahead_lets_go_the_oldest_and_says_so():
    desk = Desk()
    desk.venue(venue(0))
    count_of = series.PENDING_MAX + 2
    for minute in range(count_of):
        desk.ours(ours(minute, rev=minute))
    assert [(row.timestamp, verdict(row)) for row in desk.say()] == [
        (ours(0).timestamp, ("equal", "")),
        (ours(1).timestamp, ("venue-missing", "overtaken")),
    ]
    desk.venue(*(venue(minute) for minute in range(1, count_of)))
    rows = {row.timestamp: verdict(row) for row in desk.say()}
    assert ours(1).timestamp not in rows
    assert rows == {ours(minute).timestamp: ("equal", "") for minute in range(2, count_of)}


def test_old_candles_are_forgotten_once_no_row_of_either_side_counts():
    desk = Desk()
    for minute in range(100):
        desk.ours(ours(minute))
        desk.venue(venue(minute))
        desk.say()
    desk.save()
    cells = json.loads(desk.changelog[b"binance:spot:S"])["series"][0]["cells"]
    assert len(cells) == series.HOLD_MS // MINUTE_MS + 2
    desk.ours(ours(10, "10.6", rev=1_000))  # long decided
    assert desk.say() == []


# -- the rest


@pytest.mark.parametrize("exchange", ["hyperliquid", "kraken"])
def test_a_candle_that_no_word_closes_is_closed_by_the_next_one(exchange):
    desk = Desk()
    desk.ours(ours(0), exchange=exchange)
    desk.venue(venue(0, "10.6", closed=False), exchange=exchange)
    desk.venue(venue(0, closed=False), exchange=exchange)
    assert desk.say() == []
    desk.venue(venue(1, closed=False), exchange=exchange)
    assert [verdict(row) for row in desk.say()] == [("equal", "")]


def test_an_open_candle_of_a_venue_that_closes_them_is_never_compared():
    desk = Desk()
    desk.ours(ours(0), ours(1))
    desk.venue(venue(0, closed=False), venue(1, closed=False), venue(2, closed=False))
    assert desk.say(is_caught_up=True) == []


def test_only_wanted_intervals_that_venues_stream_are_compared():
    desk = Desk(Reconciliations(parse_intervals(["1s", "5m"])))
    desk.ours(ours(0))
    desk.venue(venue(0), venue(0, interval=300_000, timestamp=BASE_MS // 300_000 * 300_000))
    assert desk.say() == []


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (KLINES, b""),
        (VENUE_KLINES, b"{}"),
        (KLINES, ours_value(ours(0), ours(0, symbol="T"))),
        (VENUE_KLINES, venue_value(venue(0)).replace(b":3.25", b':"NaN"')),
        (TRADES, b'{"flags":1}'),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(topic, value):
    desk = Desk()
    with pytest.raises(Unreadable):
        desk.take(topic, value)
    assert (desk.say(is_caught_up=True), desk.fold.take_dirty()) == ([], [])


def test_a_record_that_is_not_of_this_program_stops_the_restore():
    from processors.engine.state import UnknownState

    desk = Desk()
    for value in (b"{", b'{"v":2}'):
        with pytest.raises(UnknownState):
            desk.fold.restore(0, {b"binance:spot:S": value})


def test_a_dropped_partition_says_and_keeps_nothing():
    desk = Desk()
    desk.ours(ours(0))
    desk.venue(venue(0))
    desk.fold.drop(0)
    assert (desk.say(), desk.fold.take_dirty()) == ([], [])


def test_verdicts_are_counted_and_exported_once():
    desk = Desk()
    desk.venue(venue(0), venue(1, "10.6"))
    desk.ours(ours(0), ours(1))
    desk.say()
    counts = desk.fold.take_counts()
    assert counts == {("binance", "equal", ""): 1, ("binance", "differs", "unexplained"): 1}
    assert desk.fold.take_counts() == {}
    told = candles.labels("binance", "equal", "none")
    before = told._value.get()
    count(counts)
    assert told._value.get() == before + 1
