"""Whatever the split, the order within the grace, the crash: the candles of the plain fold."""

import random
from dataclasses import dataclass, field

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Candle, T, candles_of

from processors.engine.engine import Engine
from schemas.intervals import Interval
from schemas.trades import SymbolTrades, TradeBatch

LENGTHS = (1_000, 5_000, 60_000, 173 * 60_000)
GRACE_MS = 80
START_MS = 1_700_000_003_217


def group(trades: list[T]) -> SymbolTrades:
    return SymbolTrades(
        symbol="BTCUSDT",
        price_scale=2,
        qty_scale=3,
        id=[t.id for t in trades],
        ts=[t.ts for t in trades],
        price=[t.price for t in trades],
        qty=[t.qty for t in trades],
        side=[t.side for t in trades],
        first=[t.id * 10 for t in trades],
        last=[t.id * 10 + t.count - 1 for t in trades],
    )


def batch(trades: list[T]) -> TradeBatch:
    return TradeBatch("binance", "linear", "live", trades[-1].ts * 1_000_000, [group(trades)])


@dataclass
class Store:
    """What a sink keeps: of each candle the highest (rev, closed)."""

    rows: dict[tuple[int, int], dict[str, object]] = field(default_factory=dict)
    seen: dict[tuple[int, int, int, bool], dict[str, object]] = field(default_factory=dict)

    def take(self, outputs) -> None:
        for topic, _, value in outputs:
            if topic.name != "md.klines.v1":
                continue
            for row in orjson.loads(value)["data"]:
                key = row["interval"], row["timestamp"]
                version = row["rev"], row["closed"]
                once = self.seen.setdefault((*key, *version), row)
                assert once == row, "one revision, two contents"
                old = self.rows.get(key)
                if old is None or version >= (old["rev"], old["closed"]):
                    self.rows[key] = row

    def candles(self, length: int) -> dict[int, Candle]:
        return {
            open_ms: Candle(
                *(round(row[n] * 100) for n in ("open", "high", "low", "close")),
                round(row["volume"] * 1000),
                round(row["quote_volume"] * 100_000),
                round(row["taker_buy_volume"] * 1000),
                round(row["taker_buy_quote_volume"] * 100_000),
                row["trade_count"],
                row["first_id"],
                row["last_id"],
            )
            for (interval, open_ms), row in self.rows.items()
            if interval == length
        }


def engine() -> Engine:
    return Engine(map(Interval, LENGTHS), grace_ms=GRACE_MS, live_every_ms=250, closes_quiet=True)


def drain(e: Engine, store: Store, now_ms: int) -> None:
    e.tick(now_ms, {0})
    store.take(e.outputs(now_ms, {0}))


def whole_stream(records: list[list[T]]) -> Store:
    e, store = engine(), Store()
    for offset, trades in enumerate(records):
        e.apply_batch(0, offset, batch(trades))
        store.take(e.outputs(0, {0}))
    drain(e, store, 2**50)
    return store


@st.composite
def streams(draw, *, jitter_ms: int = 0, drop: bool = False):
    """Trades with dense ids, cut into records at random; arrival disturbed by ``jitter_ms``."""
    steps = draw(
        st.lists(st.sampled_from([0, 0, 0, 1, 7, 400, 990, 2_500]), min_size=1, max_size=60)
    )
    rng = random.Random(draw(st.integers(0, 2**32)))
    now, trades = START_MS, []
    for id_, step in enumerate(steps, start=1_000):
        now += step
        trades.append(
            T(
                id_,
                now,
                rng.randrange(1, 500_000),
                rng.randrange(1, 90_000),
                rng.choice((1, -1)),
                rng.randrange(1, 4),
            )
        )
    if drop:
        trades = [t for t in trades if rng.random() > 0.2] or trades
    if jitter_ms:
        trades.sort(key=lambda t: t.ts + rng.randrange(jitter_ms))
    records, rest = [], list(trades)
    while rest:
        n = rng.choice((1, 1, 2, 3, 12, 30))
        records.append(rest[:n])
        rest = rest[n:]
    return trades, records


@given(streams())
def test_any_split_into_records_gives_the_oracles_candles(stream) -> None:
    trades, records = stream
    store = whole_stream(records)
    for length in LENGTHS:
        assert store.candles(length) == candles_of(trades, length)


@given(streams(jitter_ms=GRACE_MS))
def test_any_order_within_the_grace_gives_the_oracles_candles(stream) -> None:
    trades, records = stream
    store = whole_stream(records)
    for length in LENGTHS:
        assert store.candles(length) == candles_of(trades, length)


@given(streams(jitter_ms=8_000))
def test_trades_up_to_ten_seconds_late_correct_their_candles(stream) -> None:
    trades, records = stream
    store = whole_stream(records)
    for length in LENGTHS:
        assert store.candles(length) == candles_of(trades, length)


@given(streams(jitter_ms=3_000), st.data())
def test_records_delivered_twice_change_nothing(stream, data) -> None:
    trades, records = stream
    again = data.draw(st.lists(st.sampled_from(records), max_size=5))
    store = whole_stream(records + again)
    for length in LENGTHS:
        assert store.candles(length) == candles_of(trades, length)


@settings(max_examples=300)
@given(streams(jitter_ms=30_000, drop=True), st.data())
def test_any_crash_and_replay_gives_the_same_revisions(stream, data) -> None:
    """Kill at any point after any checkpoint, with the clock closing at random: same rows."""
    _, records = stream
    straight = whole_stream(records)
    e, store = engine(), Store()
    saved: tuple[int, dict[bytes, bytes]] = (0, {})
    states: dict[bytes, bytes] = {}
    offset = crashes = 0
    while offset < len(records):
        e.apply_batch(0, offset, batch(records[offset]))
        offset += 1
        step = data.draw(
            st.sampled_from(["go", "flush", "quiet", "checkpoint", "checkpoint", "crash", "crash"])
        )
        if step == "flush":
            store.take(e.outputs(0, {0}))
        elif step == "quiet":
            drain(
                e, store, records[offset - 1][-1].ts + data.draw(st.sampled_from([1_100, 10_000]))
            )
        elif step == "checkpoint":
            store.take(e.outputs(0, {0}))
            states |= {key: value for _, key, value in e.take_dirty()}
            saved = (offset, dict(states))
        elif step == "crash" and crashes < 4:
            crashes += 1
            if data.draw(st.booleans()):  # else what was gathered dies with the process
                store.take(e.outputs(0, {0}))
            offset, states = saved[0], dict(saved[1])
            e = engine()
            e.restore(0, states)
    drain(e, store, 2**50)
    for length in LENGTHS:
        assert store.candles(length) == straight.candles(length)
    same = {k: (r["quality"], r["missing"]) for k, r in store.rows.items()}
    assert same == {k: (r["quality"], r["missing"]) for k, r in straight.rows.items()}


@given(streams(drop=True))
def test_a_candle_is_proven_only_where_no_id_is_missing(stream) -> None:
    trades, records = stream
    ids = {t.id for t in trades}
    first, last = min(ids), max(ids)
    for (length, open_ms), row in whole_stream(records).rows.items():
        end_ms = open_ms + length
        before = max((t.id for t in trades if t.ts < open_ms), default=None)
        after = min((t.id for t in trades if t.ts >= end_ms), default=None)
        if before is None:
            assert row["quality"] == "gap"
        elif set(range(before, (after or last) + 1)) - ids:
            assert row["quality"] == "gap"
            assert row["missing"] >= 1
        else:
            assert row["quality"] == ("proven" if after else "assumed")
    assert first == 1_000 or ids


def test_proof_that_arrived_before_a_checkpoint_is_published_before_it() -> None:
    e, store = engine(), Store()
    first, second = T(7, 1_000_200, 10, 1, 1), T(8, 1_001_100, 11, 1, 1)
    e.apply_batch(0, 0, batch([first]))
    e.apply_batch(0, 1, batch([second]))
    drain(e, store, 1_002_300)  # the clock closes the second trade's candle: assumed
    e.apply_batch(0, 2, batch([T(9, 1_002_500, 12, 1, 1)]))  # and this trade proves it
    store.take(e.outputs(0, {0}))
    states = {key: value for _, key, value in e.take_dirty()}
    e = engine()
    e.restore(0, states)
    drain(e, store, 1_010_000)
    assert store.rows[1_000, 1_001_000]["quality"] == "proven"
