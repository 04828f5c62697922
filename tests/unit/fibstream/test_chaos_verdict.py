from decimal import Decimal

import pytest

from fibstream.chaos.tape import Record, read_json
from fibstream.chaos.truth import (
    FLAT_FOR_MS,
    Candle,
    Expected,
    Hole,
    Stream,
    Truth,
    units,
    with_flats,
)
from fibstream.chaos.verdict import Told, judge

SERIES = ("binance", "spot", "S")
KEY = (*SERIES, 1_000, "", 5_000)
WEEK_MS = 7 * 86_400_000
WEEK = (*SERIES, WEEK_MS, "mon", 4_000)
TOLD = {
    "symbol": "S",
    "interval": 1_000,
    "timestamp": 5_000,
    **{name: Decimal("1.5") for name in ("open", "high", "low", "close", "volume")},
    **{name: Decimal("1.5") for name in ("taker_buy_volume",)},
    **{name: Decimal("2.25") for name in ("quote_volume", "taker_buy_quote_volume")},
    "trade_count": 1,
    "first_id": 7,
    "last_id": 7,
    "closed": True,
    "rev": 3,
    "cause": "live",
    "quality": "proven",
    "missing": 0,
}
ONE = units(Decimal("1.5"), 12)
QUOTE = units(Decimal("2.25"), 24)
CANDLE = Candle(ONE, ONE, ONE, ONE, ONE, QUOTE, ONE, QUOTE, 1, 7, 7)


def truth(last_ms: int = 60_000, holes: tuple[Hole, ...] = ()) -> Truth:
    stream = Stream("dense", 1, 0, last_ms, ONE, list(holes))
    return Truth(trades=2, candles={KEY: Expected(CANDLE, 6_000)}, streams={SERIES: stream})


def record(offset: int, *rows: dict, data_type: str = "klines") -> Record:
    value = {"exchange": "binance", "channel": "spot", "data_type": data_type, "data": list(rows)}
    return Record(0, offset, None, value)


def told(*rows: dict, price: str = "1.5", at_ms: int = 60_000, gaps: tuple[dict, ...] = ()) -> Told:
    found = Told()
    found.take_klines(record(offset, row) for offset, row in enumerate(rows))
    found.take_prices([record(0, {"symbol": "S", "price": Decimal(price), "ts": at_ms})])
    found.take_gaps([record(0, *gaps, data_type="gaps")])
    return found


def counts(verdict) -> dict[str, int]:
    names = ("wrong", "lost", "duplicated", "prices_wrong", "trades_lost")
    return {name: n for name in names if (n := getattr(verdict, name))}


def test_what_the_trades_imply_is_right():
    verdict = judge(truth(), told(TOLD))
    assert verdict.ok
    assert (verdict.candles, verdict.revisions, verdict.repeats) == (1, 0, 0)
    assert verdict.differences == []


@pytest.mark.parametrize(
    "change",
    [
        *({name: Decimal("1.6")} for name in ("open", "high", "low", "close", "volume")),
        {"quote_volume": Decimal("2.250000000001")},
        {"taker_buy_volume": 0},
        {"taker_buy_quote_volume": 2},
        {"trade_count": 2},
        {"first_id": 6},
        {"last_id": 8},
        {"closed": False},
        {"quality": "assumed"},
        {"missing": 1},
        {"cause": "late"},
    ],
    ids=str,
)
def test_any_other_field_is_wrong(change):
    verdict = judge(truth(), told(TOLD | change))
    assert counts(verdict) == {"wrong": 1}
    assert not verdict.ok
    assert "('binance', 'spot', 'S', 1000, '', 5000)" in verdict.differences[0]


def test_the_highest_revision_is_judged_and_lower_ones_before_it_may_say_less():
    assert judge(truth(), told(TOLD | {"trade_count": 0, "rev": 2}, TOLD)).ok
    verdict = judge(truth(), told(TOLD, TOLD | {"trade_count": 2, "rev": 4}))
    assert counts(verdict) == {"wrong": 1}
    assert verdict.revisions == 1


def test_a_candle_that_nobody_told_is_lost_unless_it_may_still_be_open():
    assert counts(judge(truth(), told())) == {"lost": 1}
    verdict = judge(truth(last_ms=7_999), told(at_ms=7_999))
    assert counts(verdict) == {}
    assert not verdict.ok, "nothing was judged"


def test_a_replay_may_say_the_same_again_in_any_order():
    older = TOLD | {"trade_count": 0, "rev": 2}
    verdict = judge(truth(), told(older, TOLD, older, TOLD, TOLD))
    assert verdict.ok
    assert verdict.repeats == 3


def test_a_revision_with_two_contents_is_a_contradiction():
    older = TOLD | {"trade_count": 0, "rev": 2}
    verdict = judge(truth(), told(older, older | {"trade_count": 5}, TOLD))
    assert counts(verdict) == {"duplicated": 1}
    assert "two contents" in verdict.differences[0]


@pytest.mark.parametrize("older", [{"rev": 2}, {"closed": False}])
def test_a_new_content_after_a_later_revision_goes_back(older):
    verdict = judge(truth(), told(TOLD, TOLD | older | {"trade_count": 0}))
    assert counts(verdict) == {"duplicated": 1}
    assert "went back" in verdict.differences[0]


@pytest.mark.parametrize(("said_ms", "found"), [(99, {}), (100, {"duplicated": 1})])
def test_what_was_said_before_a_later_revision_and_held_meanwhile_is_overtaken(said_ms, found):
    late = TOLD | {"rev": TOLD["rev"] - 1, "trade_count": 0}
    held = told()
    held.take_klines(
        [record(0, TOLD)._replace(said_ms=100), record(1, late)._replace(said_ms=said_ms)]
    )
    verdict = judge(truth(), held)
    assert counts(verdict) == found
    assert verdict.overtaken == (not found)


def test_a_candle_without_a_trade_is_too_much():
    verdict = judge(truth(), told(TOLD, TOLD | {"timestamp": 9_000}))
    assert counts(verdict) == {"duplicated": 1}


def open_week(*rows: dict, is_told: bool = True, cause: str = "live"):
    """Return the verdict over a week that goes on, and was told as these rows."""
    implied = truth()
    week = Expected(CANDLE, 4_000 + WEEK_MS, cause)
    implied = Truth(trades=2, candles={**implied.candles, WEEK: week}, streams=implied.streams)
    found = told(TOLD)
    base = {"interval": WEEK_MS, "timestamp": 4_000, "anchor": "mon", "closed": False}
    row = TOLD | base | {"quality": "assumed"}
    if is_told:
        found.take_live([record(0, *(row | change for change in rows))])
    return judge(implied, found)


def test_a_candle_that_goes_on_after_the_run_is_judged_as_it_was_told_last():
    verdict = open_week({"rev": 2, "trade_count": 0}, {})
    assert verdict.ok
    assert (verdict.candles, verdict.open) == (2, 1)
    assert counts(open_week(is_told=False)) == {"lost": 1}
    assert counts(open_week({"rev": 9, "volume": 2})) == {"wrong": 1}
    assert counts(open_week({}, cause="late")) == {"wrong": 1}


def test_an_older_revision_of_an_open_candle_may_come_again():
    assert open_week({}, {"rev": 2, "trade_count": 0}).ok
    assert counts(open_week({}, {"volume": 2})) == {"wrong": 1}, "readers keep the last of a rev"


def test_windows_without_a_trade_stand_at_the_close_before_them_where_they_are_drawn():
    later = (*SERIES, 1_000, "", 8_000)
    found = {KEY: Expected(CANDLE, 6_000), later: Expected(CANDLE._replace(close=7), 9_000)}
    assert with_flats(found, ()) == found
    filled = with_flats(found, ["binance"])
    flats = {key[-1]: each for key, each in filled.items() if key not in found}
    assert list(flats)[:3] == [6_000, 7_000, 9_000]
    assert flats[7_000] == Expected(Candle(*(ONE,) * 4, *(0,) * 7), 8_000)
    assert flats[9_000].candle.open == flats[max(flats)].candle.close == 7
    assert max(flats) == 9_000 + FLAT_FOR_MS - 1_000
    week = {WEEK: Expected(CANDLE, 4_000 + WEEK_MS)}
    assert with_flats(week, ["binance"]) == week


def test_the_last_price_is_that_of_the_last_trade():
    assert counts(judge(truth(), told(TOLD, price="1.4"))) == {"prices_wrong": 1}
    assert counts(judge(truth(), told(TOLD, at_ms=59_999))) == {"prices_wrong": 1}


def test_missing_ids_must_be_named_and_belong_to_the_candles_they_may_lack():
    hole = Hole(8, 9, 50_000, 51_000)
    gap = {"symbol": "S", "first_id": 8, "last_id": 8}
    verdict = judge(truth(holes=(hole,)), told(TOLD, gaps=(gap,)))
    assert counts(verdict) == {"trades_lost": 1}
    assert verdict.trades_missing_named == 1
    assert judge(truth(holes=(hole,)), told(TOLD, gaps=(gap, gap | {"last_id": 9}))).ok
    near = hole._replace(from_ms=4_000, to_ms=5_000)
    gaps = (gap | {"last_id": 9},)
    assert counts(judge(truth(holes=(near,)), told(TOLD, gaps=gaps))) == {"wrong": 1}
    lacking = TOLD | {"quality": "gap", "missing": 2}
    assert judge(truth(holes=(near,)), told(lacking, gaps=gaps)).ok


@pytest.mark.parametrize(
    ("stream", "claim"),
    [
        (Stream("dense", 1, 5_000, 6_000, 1, []), ("proven", 0)),
        (Stream("dense", 1, 5_000, 5_999, 1, []), ("assumed", 0)),
        (Stream("dense", 2, 5_000, 6_000, 1, []), ("gap", 0)),
        (Stream("dense", 2, 4_999, 6_000, 1, []), ("proven", 0)),
        (Stream("unique", 1, 5_000, 6_000, 1, []), ("gap", 0)),
        (Stream("unique", 1, 4_999, 6_000, 1, []), ("assumed", 0)),
    ],
)
def test_a_stream_tells_what_its_candles_may_claim(stream, claim):
    assert stream.claim(5_000, 6_000) == claim


def test_numbers_are_exact_or_refused():
    assert units(Decimal("0.000000000001"), 12) == 1
    with pytest.raises(ValueError, match="decimals"):
        units(Decimal("0.0000000000001"), 12)
    assert read_json(b'{"a":0.1}') == {"a": Decimal("0.1")}
