"""Windows without a trade, and candles that open at the previous close, as venues draw them."""

import pytest
from folding import BASE_MS, GRACE_MS, MINUTE_MS, Fold, trades
from hypothesis import given
from hypothesis import strategies as st

from processors.engine.engine import Engine
from processors.engine.windows import CORRECTION_MS
from schemas.intervals import Interval
from schemas.klines import Kline
from schemas.rules import FLAT_WINDOWS_MAX, CandleRule, candle_rule
from schemas.trades import SymbolTrades

FILLS = CandleRule(fills=True)
OPENS_AT_CLOSE = CandleRule(fills=True, opens_at_close=True)


def fold(*lengths: int, rule: CandleRule = FILLS) -> Fold:
    engine = Engine(
        map(Interval, lengths or (1_000,)),
        grace_ms=GRACE_MS,
        live_every_ms=250,
        closes_quiet=True,
        rules={"binance": rule},
    )
    return Fold(engine=engine)


def unique(*rows: tuple[int, int, int, int, int]) -> SymbolTrades:
    return trades(*rows, ids="unique")


def prices(candle: Kline) -> tuple[int, ...]:
    return tuple(map(int, (candle.open, candle.high, candle.low, candle.close)))


def last_of(found: list[Kline]) -> dict[tuple[int, int], Kline]:
    """Return the last word about each candle; one revision has one content."""
    last: dict[tuple[int, int], Kline] = {}
    contents: dict[tuple[int, int, int], Kline] = {}
    for candle in found:
        key = (candle.interval, candle.timestamp - BASE_MS)
        assert contents.setdefault((*key, candle.version), candle) == candle
        if key not in last or candle.version >= last[key].version:
            last[key] = candle
    return last


def test_venues_that_draw_empty_windows_are_followed_unless_the_settings_decide() -> None:
    assert candle_rule("kraken") == CandleRule(fills=True)
    assert candle_rule("bybit") == CandleRule(fills=True, opens_at_close=True)
    assert not candle_rule("kraken", "skip").fills
    assert candle_rule("binance", "fill").fills
    assert candle_rule("bybit", "skip").opens_at_close


def test_windows_between_two_trades_are_flat_and_proven() -> None:
    one = fold()
    one.take(trades((1, 500, 7, 3, 1)))
    rev = one.take(trades((2, 3_900, 9, 1, 1)))
    found = one.closed()
    assert [prices(found[at]) for at in (1_000, 2_000)] == [(7, 7, 7, 7)] * 2
    flat = found[1_000]
    assert (flat.volume, flat.trade_count, flat.first_id, flat.last_id) == (0, 0, 0, 0)
    assert (flat.rev, flat.quality, flat.closed) == (rev, "proven", True)


def test_the_clock_closes_flat_windows_and_the_next_trade_proves_them() -> None:
    one = fold()
    rev = one.take(trades((1, 500, 7, 3, 1)))
    one.close_quiet(3_000 + GRACE_MS)
    told = one.closed()
    assert sorted(told) == [0, 1_000, 2_000]
    assert (told[2_000].rev, told[2_000].quality) == (rev, "assumed")
    rev = one.take(trades((2, 3_500, 9, 1, 1)))
    one.close_quiet(4_000 + GRACE_MS)
    again = one.closed()
    assert {at: (c.rev, c.quality) for at, c in again.items() if at < 3_000} == dict.fromkeys(
        (0, 1_000, 2_000), (rev, "proven")
    )


def test_missing_ids_make_flat_windows_a_gap() -> None:
    one = fold()
    one.take(trades((1, 500, 7, 3, 1)))
    one.take(trades((5, 3_900, 9, 1, 1)))
    flat = one.closed()[1_000]
    assert (flat.quality, flat.missing) == ("gap", 3)


def test_a_late_trade_fills_a_flat_window_and_moves_those_after_it() -> None:
    one = fold()
    one.take(trades(*[(n, at, 7, 1, 1) for n, at in ((1, 500), (3, 5_900))]))
    one.closed()
    rev = one.take(trades((2, 2_500, 5, 1, 1)))
    found = one.closed()
    assert prices(found[2_000]) == (5, 5, 5, 5)
    assert found[2_000].trade_count == 1
    assert [(prices(found[at]), found[at].rev) for at in (3_000, 4_000)] == [((5,) * 4, rev)] * 2
    assert found[1_000].quality == "proven"


def test_after_many_empty_windows_no_more_are_filled() -> None:
    one = fold()
    one.take(trades((1, 0, 7, 1, 1)))
    one.take(trades((2, 1_000 * (FLAT_WINDOWS_MAX + 50), 7, 1, 1)))
    assert len(one.closed()) == 1 + FLAT_WINDOWS_MAX


def test_a_candle_opens_at_the_close_before_it_where_the_venue_says_so() -> None:
    one = fold(MINUTE_MS, rule=OPENS_AT_CLOSE)
    one.take(unique((1, 500, 7, 1, 1), (2, 59_000, 9, 1, 1)))
    one.take(unique((3, 61_000, 5, 1, 1), (4, 62_000, 6, 1, 1), (5, 121_000, 6, 1, 1)))
    found = one.closed(MINUTE_MS)
    assert prices(found[0]) == (7, 9, 7, 9)
    assert prices(found[MINUTE_MS]) == (9, 9, 5, 6), "its high includes the open"


def test_a_late_close_moves_the_open_of_the_candle_after_it() -> None:
    one = fold(rule=OPENS_AT_CLOSE)
    one.take(unique((1, 500, 7, 1, 1), (2, 1_500, 8, 1, 1), (3, 2_500, 8, 1, 1)))
    one.closed()
    rev = one.take(unique((4, 900, 20, 1, 1)))
    found = one.closed()
    assert prices(found[0]) == (7, 20, 7, 20)
    assert (prices(found[1_000]), found[1_000].rev) == ((20, 20, 8, 8), rev)
    assert 2_000 not in found, "its open is the close of a candle that did not move"


STEP = st.tuples(
    st.sampled_from([0, 1, 300, 999, 2_500, 7_000, -400, -1_500, -3_000]),
    st.integers(1, 50),
    st.sampled_from(["", "quiet", "reborn", "outputs"]),
)


@pytest.mark.parametrize("rule", [FILLS, OPENS_AT_CLOSE])
@pytest.mark.parametrize("ids", ["dense", "unique"])
@given(steps=st.lists(STEP, min_size=1, max_size=20))
def test_clock_and_crashes_change_no_last_word(rule, ids, steps) -> None:
    calm, disturbed = (
        fold(1_000, 3_000, MINUTE_MS, rule=rule),
        fold(1_000, 3_000, MINUTE_MS, rule=rule),
    )
    said: list[list[Kline]] = [[], []]
    at_ms, watermark_ms = 20_000, 20_000
    made: list[tuple[int, int, int]] = []
    for id_, (step_ms, price, then) in enumerate(steps, 1):
        at_ms = max(at_ms + step_ms, watermark_ms - CORRECTION_MS + 4_000)
        watermark_ms = max(watermark_ms, at_ms)
        made.append((at_ms, id_, price))
        for one, rows in zip((calm, disturbed), said, strict=True):
            one.take(trades((id_, at_ms, price, 1, 1), ids=ids), recv_ms=BASE_MS + at_ms)
            rows.extend(one.klines())
        if then == "quiet":
            disturbed.close_quiet(watermark_ms + 2_000)
        if then == "reborn":
            said[1] += disturbed.klines()
            states = {key: value for _, key, value in disturbed.engine.take_dirty()}
            disturbed.engine.restore(0, states)
        said[1] += disturbed.klines()
    for one, rows in zip((calm, disturbed), said, strict=True):
        for _ in range(3):  # the clock closes so many at once
            one.close_quiet(watermark_ms + MINUTE_MS)
            rows.extend(one.klines())
    assert last_of(said[0]) == last_of(said[1])
    _judge(last_of(said[0]), made, rule)


def _judge(last: dict[tuple[int, int], Kline], made: list[tuple[int, int, int]], rule) -> None:
    """Hold every candle against sorted trades, from the window on in which the stream began."""
    began_ms = made[0][0]
    made = sorted(made)
    for length in (1_000, 3_000, MINUTE_MS):
        close = None
        end = max(open_ms for interval, open_ms in last if interval == length)
        for open_ms in range(began_ms // length * length, end + 1, length):
            mine = [price for ms, _, price in made if open_ms <= ms < open_ms + length]
            shown = [*mine] if close is None or not rule.opens_at_close else [close, *mine]
            shown = shown or [close]
            expected = (shown[0], max(shown), min(shown), shown[-1])
            candle = last[length, open_ms]
            assert (prices(candle), candle.trade_count) == (expected, len(mine)), (length, open_ms)
            close = shown[-1]
