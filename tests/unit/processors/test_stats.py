"""24 hours of a symbol: exact sums of its minutes, and what is known about them."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from market import encode_rows, kline
from replaying import PARTITION, written

from processors.changelog import is_slot
from processors.fold import UnknownState, Unreadable
from processors.stats.fold import Stats
from schemas.klines import Kline, KlineEnvelope
from schemas.stats import MarketStats, decode_stats
from schemas.topics import KLINES, symbol_key

MINUTE_MS = 60_000
FIRST = 28_010_880  # minutes since 1970: the first of a day
DAY = 1_440
KEY = symbol_key("binance", "linear", "BTCUSDT")


def candle(at: int, rev: int = 1, price: str = "100", volume: str = "1", **changes) -> Kline:
    value = Decimal(price)
    fields = {
        "timestamp": (FIRST + at) * MINUTE_MS,
        **dict.fromkeys(("open", "high", "low", "close"), value),
        "volume": Decimal(volume),
        "quote_volume": value * Decimal(volume),
        "taker_buy_volume": Decimal(volume) / 2,
        "trade_count": 2,
        "closed": True,
        "rev": rev,
        "quality": "proven",
    }
    return kline(**{**fields, **changes})


def flat(at: int, price: str, **changes) -> Kline:
    return candle(at, price=price, volume="0", trade_count=0, **changes)


def record(*rows: Kline, recv_ms: int = 5) -> bytes:
    return encode_rows(KlineEnvelope("binance", "linear", [*rows], recv_ms))


def fold_of(*candles: Kline | Sequence[Kline]) -> Stats:
    fold = Stats(1_000)
    for offset, some in enumerate(candles):
        value = record(*(some if isinstance(some, Sequence) else (some,)))
        fold.apply(KLINES, PARTITION, offset, value)
    return fold


def rows(fold: Stats, now_ms: int = 10_000) -> list[MarketStats]:
    found = [decode_stats(o.value) for o in fold.outputs(now_ms, {PARTITION})]
    return [row for envelope in found for row in envelope.data]


def only(fold: Stats, symbol: str = "BTCUSDT") -> MarketStats:
    (row,) = [row for row in rows(fold) if row.symbol == symbol]
    return row


def test_minutes_add_up_exactly() -> None:
    one = candle(0, price="0.1", high=Decimal("0.3"), volume="0.2")
    two = candle(1, price="0.2", low=Decimal("0.05"), volume="0.1", taker_buy_volume=Decimal(0))
    row = only(fold_of(one, two))
    d = Decimal
    assert (row.open_price, row.high_price) == (d("0.1"), d("0.3"))
    assert (row.low_price, row.last_price) == (d("0.05"), d("0.2"))
    assert (row.volume, row.quote_volume, row.trade_count) == (d("0.3"), d("0.04"), 4)
    assert (row.change, row.change_percent) == (d("0.1"), d(100))
    assert row.weighted_avg_price == d("0.1333333333333333")
    assert row.taker_buy_share == d("0.333333")
    assert (row.to_ms, row.to_ms - row.from_ms) == ((FIRST + 2) * MINUTE_MS, DAY * MINUTE_MS)
    assert (row.minutes, row.candles, row.gap_minutes, row.quality) == (2, 2, 0, "gap")


def test_numbers_have_one_text_whatever_they_were_summed_from() -> None:
    long = only(fold_of(candle(0, volume="1.500", price="1E+2"), candle(1, volume="0.50")))
    assert str(long.volume) == "2"
    (out,) = fold_of(candle(0, volume="1000", price="1E+2")).outputs(0, {PARTITION})
    assert b'"volume":1000,"quote_volume":100000,' in out.value
    assert b'"taker_buy_share":0.5,' in out.value


def test_sums_of_thirty_digits_are_not_rounded() -> None:
    tiny, huge = "0." + "0" * 17 + "1", "9" * 19 + ".1"
    row = only(fold_of(candle(0, volume=huge, price="3"), candle(1, volume=tiny, price="3")))
    assert str(row.volume) == "9" * 19 + "." + "1" + "0" * 16 + "1"


def test_a_correction_replaces_the_minutes_numbers_and_an_older_revision_does_not() -> None:
    fold = fold_of(candle(0, 5), candle(1, 6), candle(0, 9, volume="7"), candle(0, 8, volume="3"))
    row = only(fold)
    assert (row.volume, row.rev) == (Decimal(8), 2)
    fold.apply(KLINES, PARTITION, 4, record(candle(0, 9, volume="7")))
    assert rows(fold, 20_000) == []


def test_a_minute_leaves_after_24_hours() -> None:
    fold = fold_of(candle(0, price="500"), candle(1, price="90"), candle(DAY, price="100"))
    row = only(fold)
    assert (row.open_price, row.high_price, row.candles) == (Decimal(90), Decimal(100), 2)
    assert (row.minutes, row.quality) == (DAY, "proven")
    assert row.volume == 2


def test_a_candle_older_than_the_24_hours_changes_nothing() -> None:
    fold = fold_of(candle(DAY + 5))
    assert len(rows(fold)) == 1
    fold.apply(KLINES, PARTITION, 1, record(candle(0)))
    assert rows(fold, 20_000) == []


def test_one_gap_and_one_assumption_are_told() -> None:
    whole = [candle(at) for at in range(1, DAY + 1)]
    assert only(fold_of(candle(0), *whole)).quality == "proven"
    assumed = only(fold_of(candle(0), *whole[:-1], candle(DAY, quality="assumed")))
    assert (assumed.quality, assumed.gap_minutes) == ("assumed", 0)
    gap = only(fold_of(candle(0), *whole[:-1], candle(DAY, quality="gap")))
    assert (gap.quality, gap.gap_minutes, gap.minutes) == ("gap", 1, DAY)


def test_minutes_without_a_candle_and_flat_ones_tell_the_same() -> None:
    trades = [candle(0, price="10"), candle(9, price="20")]
    skipped = only(fold_of(trades[0], trades[1]))
    filled = only(fold_of(trades[0], *[flat(at, "10") for at in range(1, 9)], trades[1]))
    assert [getattr(filled, n) for n in MarketStats.__struct_fields__ if n != "rev"] == [
        getattr(skipped, n) for n in MarketStats.__struct_fields__ if n != "rev"
    ]


def test_a_day_without_a_trade_has_a_last_price_and_no_other() -> None:
    row = only(fold_of(candle(0, price="10"), *[flat(at, "10") for at in range(1, DAY + 1)]))
    assert (row.open_price, row.high_price, row.low_price) == (None, None, None)
    assert (row.change, row.change_percent, row.weighted_avg_price) == (None, None, None)
    assert (row.last_price, row.volume, row.taker_buy_share) == (Decimal(10), Decimal(0), None)
    assert (row.candles, row.minutes, row.quality) == (0, DAY, "assumed")


def test_a_quiet_symbol_is_moved_on_by_others_of_its_market() -> None:
    fold = fold_of(candle(0), candle(0, symbol="Q"), candle(DAY, symbol="Q"), candle(DAY + 9))
    row = only(fold, "Q")
    assert row.to_ms == (FIRST + DAY + 10 - 2) * MINUTE_MS
    assert (row.rev, row.candles) == (3, 1)


def test_other_intervals_and_open_candles_do_not_count() -> None:
    others = [
        candle(0, interval=1_000),
        candle(0, interval=3_600_000),
        candle(0, closed=False),
        candle(0, anchor="tz=Asia/Tokyo"),
    ]
    assert rows(fold_of(others)) == []


def test_candles_that_came_later_fill_what_was_unknown() -> None:
    row = only(fold_of(candle(100), candle(50), candle(51)))
    assert (row.minutes, row.candles, row.open_price) == (3, 3, Decimal(100))


def test_at_most_one_record_a_second() -> None:
    fold = fold_of(candle(0))
    assert len(rows(fold, 5_000)) == 1
    fold.apply(KLINES, PARTITION, 1, record(candle(1)))
    assert rows(fold, 5_999) == []
    assert len(rows(fold, 6_000)) == 1


def test_only_the_hour_that_changed_is_written() -> None:
    fold = fold_of(*[candle(at) for at in range(DAY)])
    first = written(fold)
    assert len(first) == 24 + 1 + 1
    fold.apply(KLINES, PARTITION, DAY, record(candle(DAY)))
    second = written(fold)
    hours = [key for key in second if is_slot(key)]
    assert len(hours) == 1 + 1  # one hour, and the market's newest minute
    assert sum(map(len, second.values())) < 1_500


def test_the_changelog_of_a_symbol_does_not_grow() -> None:
    fold, keys = Stats(1_000), set()
    for at in range(3 * DAY):
        fold.apply(KLINES, PARTITION, at, record(candle(at)))
        if at % 7 == 0:
            keys |= written(fold).keys()
    assert len(keys) <= 25 + 2 + 2


def test_a_torn_checkpoint_leaves_the_state_before_it_whole() -> None:
    fold = fold_of(candle(0, price="7"))
    saved = written(fold)
    fold.apply(KLINES, PARTITION, 1, record(candle(DAY + 90, price="8")))  # the first hour is gone
    torn = written(fold)
    hour = next(key for key in torn if is_slot(key))
    again = Stats()
    again.restore(PARTITION, saved | {hour: torn[hour]})
    assert (only(again).open_price, only(fold).open_price) == (Decimal(7), Decimal(8))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        record(candle(0)).replace(b'"volume":1,', b'"volume":"NaN",'),
        record(candle(0)).replace(b'"volume":1,', b'"volume":1E+61,'),
        record(candle(0)).replace(
            b'"volume":1,', b'"volume":' + b"1" * 41 + b"." + b"1" * 80 + b","
        ),
        record(candle(0, timestamp=-5)),
        record(candle(0, timestamp=10**17)),
    ],
)
def test_what_is_no_candle_is_refused_and_changes_nothing(value) -> None:
    fold = fold_of(candle(0))
    with pytest.raises(Unreadable):
        fold.apply(KLINES, PARTITION, 1, value)
    assert [row.rev for row in rows(fold)] == [0]


def test_numbers_at_the_very_edge_are_computed_with() -> None:
    edge = candle(0, price="1E-40", volume="1E-20"), candle(1, price="9E+40", volume="9E+19")
    assert only(fold_of(*edge)).change_percent == int("9" * 1 + "0" * 82) - 100


@pytest.mark.parametrize("damage", ["head", "version", "hour", "newest"])
def test_a_damaged_state_is_refused(damage) -> None:
    states = written(fold_of(candle(0)))
    hour, newest = sorted((key for key in states if is_slot(key)), key=len)
    if damage == "hour":
        del states[hour]
    elif damage == "version":
        states[KEY] = states[KEY].replace(b'"v":1', b'"v":2')
    else:
        states[KEY if damage == "head" else newest] = b"?"
    with pytest.raises(UnknownState):
        Stats().restore(PARTITION, states)
