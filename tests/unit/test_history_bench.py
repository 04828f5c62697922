"""The judge of the holes is judged: its fold, where holes lie, and what it calls wrong."""

import numpy as np
import pytest

from fibstream.bench import history_gaps as gaps
from fibstream.bench.history_feed import records
from fibstream.bench.history_truth import Candles, Series, Trades, fold
from fibstream.bench.history_verdict import Stored, Verdict, _judge
from schemas.trades import decode_batch

DAY_MS = 86_400_000
FROM_MS = 20_000 * DAY_MS
BUSY_ROWS = 4_000


def series(channel: str, symbol: str, seed: int) -> Series:
    rng = np.random.default_rng(seed)
    quiet = np.sort(rng.integers(FROM_MS, FROM_MS + 6 * DAY_MS + DAY_MS // 2, 6_000))
    history_ms = FROM_MS + 6 * DAY_MS + DAY_MS // 2
    ts = np.concatenate([quiet, np.sort(rng.integers(history_ms, history_ms + 300_000, BUSY_ROWS))])
    ids = np.arange(1_000, 1_000 + len(ts))
    price, qty = rng.integers(900, 1_100, len(ts)), rng.integers(1, 50, len(ts))
    side = rng.integers(0, 2, len(ts)) * 2 - 1
    trades = Trades(ids, ts, price, qty, side, 2 * ids, 2 * ids + 1)
    return Series(channel, symbol, 2, 1, FROM_MS, history_ms, trades)


@pytest.fixture(scope="module")
def every() -> list[Series]:
    names = [(channel, f"S{n}") for channel in ("spot", "linear") for n in range(4)]
    return [series(*name, seed) for seed, name in enumerate(names)]


def test_a_fold_of_trades_is_what_a_loop_over_them_says(every):
    trades = every[0].trades
    candles = fold(trades, 3_600_000)
    at = 7
    rows = [r for r in zip(*trades, strict=True) if r[1] // 3_600_000 * 3_600_000 == candles[0][at]]
    prices = [row[2] for row in rows]
    buys = [row for row in rows if row[4] > 0]
    wanted = (
        *(candles.open_ms[at], prices[0], max(prices), min(prices), prices[-1]),
        *(sum(r[3] for r in rows), sum(r[2] * r[3] for r in rows)),
        *(sum(r[3] for r in buys), sum(r[2] * r[3] for r in buys)),
        *(2 * len(rows), rows[0][0], rows[-1][0]),
    )
    assert tuple(int(column[at]) for column in candles) == tuple(map(int, wanted))
    assert sum(candles.trade_count) == 2 * len(trades.id)


@pytest.mark.parametrize("seed", range(5))
def test_thirty_holes_lie_apart_and_where_their_kind_says(every, seed):
    holes = gaps.punch(every, seed)
    assert len(holes) == sum(gaps.KINDS.values()) == 30
    gone = gaps.masks(every, holes)
    assert sum(int(m.sum()) for m in gone.values()) == sum(h.high - h.low for h in holes)
    for hole in holes:
        ts = hole.series.trades.ts
        assert 0 < hole.low < hole.high < len(ts), "both neighbours are heard"
        first, last = ((int(ts[at]) - FROM_MS) // DAY_MS for at in (hole.low, hole.high - 1))
        if hole.kind == "midnight":
            assert (first, last) == (0, 1)
        if hole.kind == "missing_day":
            assert (first, last) == (gaps.MISSING_DAY - 1, gaps.MISSING_DAY + 1)
        if hole.kind == "newest":
            assert hole.high == len(ts) - 1
        if hole.kind == "unrecoverable":
            assert first == last == gaps.LOST_DAY
            faults = [f.name for f in gaps.faults(holes) if f[:2] == hole.series.name]
            assert faults == ["2024-10-05", "2024-10"]


def test_what_is_sent_is_what_was_heard_and_a_known_part_of_it_twice(every):
    gone = gaps.masks(every, gaps.punch(every, 1))
    ids: dict[tuple[str, str], list[int]] = {}
    repeated = 0
    for fed in records(every, gone, 4):
        batch = decode_batch(fed.value)
        repeated += fed.repeated
        for group in batch.symbols if fed.trades else ():
            ids.setdefault((batch.channel, group.symbol), []).extend(group.id)
    assert repeated > 0
    for one in every:
        assert ids[one.name] == one.trades.id[~gone[one.name]].tolist()


def judged(one: Series, there, **changes) -> Verdict:
    truth = fold(one.trades.where(there), DAY_MS)
    truth = Candles(*(column[:-1].copy() for column in truth))
    quality = ["gap", *["proven"] * (len(truth.open_ms) - 1)]
    missing = np.zeros(len(truth.open_ms), np.int64)
    for name, value in changes.items():
        if name == "quality":
            quality[3] = value
        else:
            getattr(truth, name)[3] += value
    verdict = Verdict()
    _judge(one, there, "1D", DAY_MS, Stored(truth, quality, missing), verdict)
    return verdict


def test_the_judge_finds_one_unit_too_much_a_false_proof_and_an_absent_candle(every):
    one = every[0]
    there = np.ones(len(one.trades.id), np.bool_)
    right = judged(one, there)
    assert right.is_right, right
    assert right.candles == {"1D": 6}
    assert judged(one, there, quote_volume=1).wrong == 1
    assert judged(one, there, quality="gap").unproven == 1
    moved = judged(one, there, open_ms=1)
    assert (moved.absent, moved.too_many) == (1, 1)
    there[2_000:2_010] = False
    assert judged(one, there).unproven >= 1, "ten are missing, and nobody says so"
