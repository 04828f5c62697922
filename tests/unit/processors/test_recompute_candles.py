"""Sums to candles: however time is cut, the same candles; filled, carried and judged by rule."""

from decimal import Decimal

import pytest

from processors.engine.bars import Claim
from processors.engine.ids import Missing
from processors.recompute.candles import Before, Began, Candle, Candles
from processors.recompute.plan import Asked, blocks
from processors.recompute.recomputation import judged
from processors.recompute.rows import ROWS_MAX, envelopes
from schemas.clickhouse.candles import SCALE, Stored, Sums
from schemas.intervals import Interval, parse_intervals
from schemas.klines import decode_klines
from schemas.rules import PLAIN, CandleRule

BASE_MS = 1_700_000_040_000
INTERVALS = parse_intervals(("1s", "5s", "1m"))
UNIT = 10**SCALE
WHOLE = Began(0, is_whole=True)
END_OF_TIME_MS = 2**50


def asked(to_ms: int, ids: str = "dense") -> Asked:
    return Asked("binance", "linear", 'S"1', ids, BASE_MS, BASE_MS + to_ms, 77)


def sums(at_ms: int, price: int, number: int = 1, source: str = "live") -> Sums:
    p, q = price * UNIT, UNIT // 100
    return Sums(
        BASE_MS + at_ms,
        *(p, p, p, p),
        *(q, p * q, q, p * q),
        *(1, number, number),
        *(BASE_MS + at_ms, 5, number, source, 2, 3),
    )


def candles(
    parts: list[Sums],
    to_ms: int,
    *,
    rule: CandleRule = PLAIN,
    began: Began = WHOLE,
    before: Before | None = None,
    missing: tuple[Missing, ...] = (),
    ids: str = "dense",
) -> dict[tuple[int, int], Candle]:
    wanted = asked(to_ms, ids)
    fold = Candles(wanted, INTERVALS, END_OF_TIME_MS, rule, began, before)
    found = []
    for edges in blocks(INTERVALS, wanted.from_ms, wanted.to_ms, END_OF_TIME_MS):
        within = [part for part in parts if edges[0] <= part.at_ms < edges[-1]]
        found += fold.take(within, missing, edges[-1])
    return {(c.interval.length_ms, c.open_ms - BASE_MS): c for c in found}


def test_each_trade_is_in_one_window_of_every_interval() -> None:
    found = candles([sums(0, 10, 1), sums(4_000, 7, 2), sums(6_000, 12, 3)], 6_000)
    assert {key: c.sums.trades for key, c in found.items()} == {
        **{(1_000, at): 1 for at in (0, 4_000, 6_000)},
        (5_000, 0): 2,
        (5_000, 5_000): 1,
        (60_000, 0): 3,
    }
    minute = found[60_000, 0].sums
    assert (minute.open, minute.high, minute.low, minute.close) == tuple(
        price * UNIT for price in (10, 12, 7, 12)
    )
    assert (minute.first_id, minute.last_id) == (1, 3)


def test_the_cause_is_the_source_of_the_trade_that_came_last() -> None:
    found = candles([sums(0, 10, 9, "rest"), sums(1_000, 7, 2)], 1_000)
    assert found[60_000, 0].cause == "rest"
    assert found[1_000, 1_000].cause == "late"


def test_missing_ids_are_told_of_every_window_that_they_may_belong_to() -> None:
    gap = Missing(5, 7, BASE_MS + 900, BASE_MS + 1_000)
    found = candles([sums(0, 1), sums(1_000, 1), sums(2_000, 1)], 2_000, missing=(gap,))
    assert found[1_000, 0].claim == Claim("gap", 3)
    assert found[1_000, 1_000].claim == Claim("gap", 3)
    assert found[1_000, 2_000].claim == Claim("proven", 0)


def test_the_window_in_which_the_stream_began_is_not_whole() -> None:
    began = Began(BASE_MS + 500, is_whole=False)
    found = candles([sums(0, 1), sums(1_000, 1)], 1_000, began=began)
    assert found[1_000, 0].claim == Claim("gap", 0)
    assert found[1_000, 1_000].claim == Claim("proven", 0)


def test_ids_that_only_differ_prove_nothing() -> None:
    assert candles([sums(0, 1)], 0, ids="unique")[1_000, 0].claim == Claim("assumed", 0)


def test_empty_windows_are_flat_where_the_venue_draws_them_so() -> None:
    found = candles([sums(0, 10), sums(3_000, 12)], 3_000, rule=CandleRule(fills=True))
    flat = found[1_000, 1_000].sums
    assert (flat.open, flat.high, flat.low, flat.close) == (10 * UNIT,) * 4
    assert (flat.trades, flat.volume) == (0, 0)
    assert (1_000, 1_000) not in candles([sums(0, 10), sums(3_000, 12)], 3_000)


def test_a_candle_opens_at_the_close_before_it_where_the_venue_draws_it_so() -> None:
    before = Before(20 * UNIT, BASE_MS - 5, 5, 2, 3, "live")
    rule = CandleRule(opens_at_close=True)
    found = candles([sums(0, 10), sums(1_000, 12)], 1_000, rule=rule, before=before)
    first, second = found[1_000, 0].sums, found[1_000, 1_000].sums
    assert (first.open, first.high, first.low, first.close) == tuple(
        price * UNIT for price in (20, 20, 10, 10)
    )
    assert (second.open, second.low) == (10 * UNIT, 10 * UNIT)


def stored(candle: Candle, rev: int, **changes) -> Stored:
    s = candle.sums
    row = Stored(
        *(candle.interval.length_ms, candle.interval.anchor, candle.open_ms, rev),
        *candle.claim,
        *(s.open, s.high, s.low, s.close, s.volume, s.trades, s.first_id, s.last_id),
    )
    return row._replace(**changes)


@pytest.mark.parametrize(
    ("rev", "changes", "verdict"),
    [
        (70, {}, "told"),
        (77, {"close": 1}, "told"),  # of this revision or a later one
        (70, {"close": 1}, "news"),
        (70, {"missing": 3, "quality": "gap"}, "news"),
        (70, {"trades": 5}, "lacking"),
    ],
)
def test_a_candle_is_news_or_told_or_lacks_trades(rev, changes, verdict) -> None:
    candle = candles([sums(0, 10)], 0)[1_000, 0]
    found = judged(
        asked(0), [candle], {(candle.interval, candle.open_ms): stored(candle, rev, **changes)}
    )
    assert (len(found.news), found.told, len(found.lacking)) == {
        "news": (1, 0, 0),
        "told": (0, 1, 0),
        "lacking": (0, 0, 1),
    }[verdict]


def test_a_proven_candle_is_not_replaced_by_one_that_misses_ids() -> None:
    candle = candles([sums(0, 10)], 0)[1_000, 0]
    gap = candle._replace(claim=Claim("gap", 2))
    old = {(candle.interval, candle.open_ms): stored(candle, 1)}
    assert judged(asked(0), [gap], old).lacking == [gap]


def test_rows_are_the_schemas_and_exact() -> None:
    candle = candles([sums(0, 10)], 0)[1_000, 0]
    (value,) = envelopes(asked(0), [candle])
    envelope = decode_klines(value)
    (row,) = envelope.data
    assert (envelope.exchange, envelope.channel, envelope.recv_ms) == ("binance", "linear", 5)
    assert (row.symbol, row.frame, row.timestamp) == ('S"1', Interval(1_000), BASE_MS)
    assert (row.open, row.volume, row.quote_volume) == (
        Decimal("10.00"),
        Decimal("0.010"),
        Decimal("0.10000"),
    )
    assert (row.closed, row.rev, row.cause, row.quality) == (True, 77, "late", "proven")


def test_a_record_holds_no_more_rows_than_its_limit() -> None:
    candle = candles([sums(0, 10)], 0)[1_000, 0]
    values = list(envelopes(asked(0), [candle] * (ROWS_MAX + 1)))
    assert [len(decode_klines(value).data) for value in values] == [ROWS_MAX, 1]
