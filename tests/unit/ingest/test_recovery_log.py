"""The engine's own words about its gaps, read by recovery: none stays open, none is missed."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.recovery import ranges
from ingest.recovery.gaps import OpenGaps
from processors.engine.engine import Engine
from schemas.intervals import Interval
from schemas.klines import decode_id_gaps
from schemas.recompute import Recompute, decode_recompute
from schemas.topics import GAPS, RECOMPUTE
from schemas.trades import SymbolTrades, TradeBatch

T0 = 1_700_000_040_000
STEP_MS = 700
IDS = range(1, 121)


class Pipeline:
    """An engine, and recovery's view of what it tells."""

    def __init__(self) -> None:
        self.engine = Engine([Interval(60_000)], grace_ms=80, live_every_ms=250, closes_quiet=True)
        self.gaps = OpenGaps("binance")
        self.asked: list[Recompute] = []
        self._offset = 0

    def take(self, ids: list[int], source: str = "live") -> None:
        ones = [1] * len(ids)
        times = [T0 + id_ * STEP_MS for id_ in ids]
        group = SymbolTrades("S", 0, 0, ids, times, ones, ones, side=1)
        batch = TradeBatch("binance", "linear", source, T0 * 1_000_000, [group])
        self.engine.apply_batch(0, self._offset, batch)
        self._offset += 1
        for topic, _, value in self.engine.outputs(0, {0}):
            if topic is GAPS:
                self.gaps.take(decode_id_gaps(value), T0)
            elif topic is RECOMPUTE:
                self.asked += decode_recompute(value).data

    @property
    def missing(self) -> set[int]:
        (candles,) = self.engine.symbols(0).values()
        return {i for m in candles.ids.missing for i in range(m.first, m.last + 1)}

    @property
    def wanted(self) -> set[int]:
        return {i for gap in self.gaps for a, b in gap.left for i in range(a, b + 1)}


@given(st.sets(st.sampled_from(IDS[1:-1])), st.randoms(use_true_random=False))
def test_recovery_wants_at_least_what_the_engine_lacks_and_in_the_end_nothing(lost, chance):
    line = Pipeline()
    for id_ in IDS:
        if id_ not in lost:
            line.take([id_])
    assert line.wanted == line.missing == lost
    left = sorted(lost)
    while left:
        at = chance.randrange(len(left))
        part = left[at : at + chance.randrange(1, 9)]
        left = [id_ for id_ in left if id_ not in part]
        line.take(part, "rest")
        assert line.missing == set(left)
        assert line.wanted >= line.missing
    assert list(line.gaps) == []


def test_history_below_the_first_id_is_asked_of_the_recompute_worker():
    line = Pipeline()
    line.take(list(range(101, 121)))
    line.asked.clear()
    line.take(list(range(61, 101)), "archive")  # a page that leads up to what is known
    assert line.missing == set()
    assert list(line.gaps) == []
    (asked,) = line.asked
    assert (asked.from_ms, asked.to_ms) == (T0 + 61 * STEP_MS, T0 + 101 * STEP_MS)
    line.asked.clear()
    line.take(list(range(1, 31)), "archive")  # and one that leaves a hole behind it
    assert line.missing == set(range(31, 61))
    assert line.wanted >= line.missing
    line.take(list(range(31, 61)), "archive")
    assert list(line.gaps) == []
    assert min(row.from_ms for row in line.asked) == T0 + STEP_MS


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8), st.integers(0, 60))
def test_holding_is_membership(found, at):
    base = ranges.merged((a, a + n) for a, n in found)
    assert ranges.holds(base, at, at) is any(a <= at <= a + n for a, n in found)
