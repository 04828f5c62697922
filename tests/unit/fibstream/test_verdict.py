"""The verdict must find what is wrong, and only that."""

from decimal import Decimal

import pytest

from fibstream.stored import StoredCandle, StoredTrade, ToldGaps
from fibstream.truth import Series, TruthTrade, candles_of, flat_candle
from fibstream.verdict import (
    SILENCE_SLACK_MS,
    Evidence,
    Verdict,
    expected_candles,
    judge_candles,
    judge_exchange,
    judge_trades,
)
from schemas.intervals import Interval, parse_interval
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.trades import IdRule

SECOND = Interval(1_000)
BASE_MS = 1_700_000_040_000
SERIES: dict[IdRule, Series] = {
    "dense": ("binance", "linear", "BTCUSDT"),
    "range": ("okx", "linear", "BTC-USDT-SWAP"),
    "unique": ("bybit", "linear", "BTCUSDT"),
}
RULES = list(SERIES)


def made(rule: IdRule, count: int = 12, step_ms: int = 500) -> list[TruthTrade]:
    """Trades of a symbol; those of "unique" have no order of ids, and ids that repeat."""
    found = []
    for n in range(count):
        id_, span, uid = 10 + n, (10 + n, 10 + n), ""
        if rule == "range":
            span = (10 + 2 * n, 11 + 2 * n)
            id_ = span[1]
        elif rule == "unique":
            id_, uid = 7 * (n // 2), f"u{count - n}"
            span = (id_, id_)
        price, side = Decimal(100 + n % 5), 1 if n % 3 else -1
        ts = BASE_MS + n // 2 * 2 * step_ms  # two in one millisecond
        found.append(TruthTrade(id_, ts, price, Decimal(n + 1), side, *span, uid, 1))
    return found


def stored(trades: list[TruthTrade]) -> list[StoredTrade]:
    return [StoredTrade(*trade[:8]) for trade in trades]


def evidence(rule: IdRule, trades: list[TruthTrade], *lost: int, **changes) -> Evidence:
    """What is known when the trades at these places never came."""
    came = [trade for n, trade in enumerate(trades) if n not in lost]
    fields = {"series": SERIES[rule], "ids": rule, "made": trades, "arrived": stored(came)}
    return Evidence(**{**fields, **changes})


def judged(found: Evidence) -> Verdict:
    verdict = Verdict()
    judge_trades(verdict, found)
    return verdict


@pytest.mark.parametrize("rule", RULES)
def test_all_that_came_as_it_was_made_is_right(rule) -> None:
    verdict = judged(evidence(rule, made(rule)))
    assert verdict.is_right
    assert verdict.differences == []


@pytest.mark.parametrize("rule", RULES)
def test_a_trade_that_is_there_twice_or_differs_or_was_never_made_is_found(rule) -> None:
    trades = made(rule)
    right = stored(trades)
    assert judged(evidence(rule, trades, arrived=[*right, right[3]])).trades_doubled == 1
    wrong = [*right[:3], right[3]._replace(qty=Decimal(99)), *right[4:]]
    assert judged(evidence(rule, trades, arrived=wrong)).trades_lost == 1
    alien = right[-1]._replace(id=10**6, first=10**6, last=10**6, uid="x")
    assert judged(evidence(rule, trades, arrived=[*right, alien])).trades_doubled == 1


@pytest.mark.parametrize(("rule", "ids"), [("dense", [13]), ("range", [16, 17])])
def test_a_trade_is_lost_unless_each_of_its_ids_is_named(rule, ids) -> None:
    trades = made(rule)
    assert judged(evidence(rule, trades, 3)).trades_lost == len(ids)
    part = judged(evidence(rule, trades, 3, named_missing=frozenset(ids[1:])))
    assert part.trades_lost == 1
    named = judged(evidence(rule, trades, 3, named_missing=frozenset(ids)))
    assert (named.trades_lost, named.trades_missing_named) == (0, len(ids))


def test_where_ids_show_nothing_only_a_told_silence_excuses_a_lost_trade() -> None:
    trades = made("unique")
    assert judged(evidence("unique", trades, 3)).trades_lost == 1
    at_ms = trades[3].ts
    told = judged(evidence("unique", trades, 3, silences=[(at_ms + SILENCE_SLACK_MS, 9e15)]))
    assert (told.trades_lost, told.trades_missing_named) == (0, 1)
    later = [(at_ms + SILENCE_SLACK_MS + 1, 9e15)]
    assert judged(evidence("unique", trades, 3, silences=later)).trades_lost == 1


@pytest.mark.parametrize("rule", RULES)
def test_what_came_before_and_after_the_stream_is_not_missed(rule) -> None:
    trades = made(rule)
    assert judged(evidence(rule, trades, 0, 1, len(trades) - 1)).is_right


@pytest.mark.parametrize("rule", RULES)
def test_the_quality_of_every_candle_is_foretold(rule) -> None:
    trades = made(rule)
    expected = expected_candles(evidence(rule, trades, 4), [SECOND], 2**62)
    quality = [(c.quality, c.missing) for c in expected.values()]
    if rule == "unique":
        assert quality == [("gap", 0), *[("assumed", 0)] * 5]
    else:
        ids = 2 if rule == "range" else 1
        gap = ("gap", ids)
        assert quality == [
            ("gap", 0), gap, gap, *[("proven", 0)] * 2, ("assumed", 0),
        ]  # fmt: skip
    assert all(key[:3] == SERIES[rule] for key in expected)


def test_open_and_close_follow_the_ids_or_where_they_have_no_order_the_arrival() -> None:
    trades = [trade._replace(ts=BASE_MS) for trade in made("unique", 4)]
    turned = [trades[2], trades[0], trades[3], trades[1]]
    found = evidence("unique", trades, arrived=stored(turned))
    (candle,) = expected_candles(found, [SECOND], 2**62).values()
    assert (candle.candle.open, candle.candle.close) == (turned[0].price, turned[-1].price)
    dense = [trade._replace(ts=BASE_MS) for trade in made("dense", 4)]
    found = evidence("dense", dense, arrived=stored(dense[::-1]))
    (candle,) = expected_candles(found, [SECOND], 2**62).values()
    assert (candle.candle.open, candle.candle.close) == (dense[0].price, dense[-1].price)


@pytest.mark.parametrize("rule", RULES)
def test_a_stored_candle_that_differs_or_is_not_there_is_found(rule) -> None:
    expected = expected_candles(evidence(rule, made(rule)), [SECOND], 2**62)
    verdict = Verdict()
    judge_candles(verdict, expected, expected, "here")
    assert verdict.is_right
    key = list(expected)[2]
    other = StoredCandle(expected[key].candle, closed=True, quality="gap", missing=7)
    judge_candles(verdict, expected, expected | {key: other}, "here")
    judge_candles(verdict, expected, {k: c for k, c in expected.items() if k != key}, "here")
    assert verdict.candles_wrong == 2


@pytest.mark.parametrize("rule", RULES)
def test_the_exchanges_own_candle_decides_where_no_trade_is_missing(rule) -> None:
    trades = made(rule)
    own = candles_of(trades, SECOND, by_arrival=rule == "unique")
    for lost in ((), (4,)):
        found = evidence(rule, trades, *lost, exchange_candles={SECOND: own})
        verdict = Verdict()
        judge_exchange(verdict, found, expected_candles(found, [SECOND], 2**62))
        assert verdict.is_right, "a candle that lacks a trade is no candle of the exchange"
    wrong = {at: candle._replace(high=Decimal(10**6)) for at, candle in own.items()}
    found = evidence(rule, trades, exchange_candles={SECOND: wrong})
    verdict = Verdict()
    judge_exchange(verdict, found, expected_candles(found, [SECOND], 2**62))
    assert verdict.candles_wrong == len(own) - 1, "all but the one in which the stream began"


def test_told_gaps_are_read_by_exchange() -> None:
    told = ToldGaps()
    series = SERIES["range"]
    gap = Gap(series[2], 5, 7, 0, 1, 3, "found", 9)
    told.add(GapEnvelope(series[0], "linear", [gap]))
    assert told.missing[series] == {5, 6, 7}
    silent = StreamGap(symbol="", kind="trades", reason="disconnected", state="found", from_ms=100)
    book = StreamGap(symbol="", kind="books", reason="hole", state="found", from_ms=1)
    told.add(StreamGapEnvelope("bybit", "linear", [silent, book]))
    assert told.silences(SERIES["unique"]) == [(100, float("inf"))]
    over = StreamGap(
        symbol="", kind="trades", reason="disconnected", state="recovered", from_ms=100, to_ms=300
    )
    told.add(StreamGapEnvelope("bybit", "linear", [over]))
    assert told.silences(SERIES["unique"]) == [(100, 300)]
    assert told.silences(series) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_stored_candle_between_those_of_trades_must_be_flat_at_the_close_before(rule) -> None:
    trades = made(rule, step_ms=2_000)  # every other second and more without a trade
    expected = expected_candles(evidence(rule, trades), [SECOND], 2**62)
    (first, before), (second, _), *_ = expected.items()
    flat = StoredCandle(flat_candle(before.candle.close), closed=True, quality="proven", missing=0)
    between = (*first[:4], first[4] + 1_000)
    assert between < second
    changed = {"close": Decimal(1), "volume": Decimal(1), "trade_count": 1, "last_id": 9}
    for candle, wrong in [
        (flat, 0),
        (flat._replace(closed=False, candle=before.candle), 0),
        *((flat._replace(candle=flat.candle._replace(**{n: v})), 1) for n, v in changed.items()),
    ]:
        verdict = Verdict()
        judge_candles(verdict, expected, {**expected, between: candle}, "here")
        assert verdict.candles_wrong == wrong


def test_what_is_stored_before_the_first_and_after_the_last_is_not_judged() -> None:
    expected = expected_candles(evidence("dense", made("dense")), [SECOND], 2**62)
    first, last = min(expected), max(expected)
    odd = next(iter(expected.values()))
    outside = {(*first[:4], first[4] - 1_000): odd, (*last[:4], last[4] + 1_000): odd}
    verdict = Verdict()
    judge_candles(verdict, expected, {**expected, **outside}, "here")
    assert verdict.is_right


def test_weeks_and_months_are_judged_by_their_own_windows() -> None:
    trades = made("dense")
    intervals = [parse_interval(text) for text in ("1w@mon", "7D", "1M", "1D@tz=Asia/Tokyo")]
    expected = expected_candles(evidence("dense", trades), intervals, 2**62)
    assert {(key[3], key[4]) for key in expected} == {
        (interval, interval.open_ms(BASE_MS)) for interval in intervals
    }
    assert not expected_candles(evidence("dense", trades), intervals, BASE_MS + 60_000)
