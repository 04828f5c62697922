"""The last trade of each symbol: the one whose price the candles close at."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import group, trade_batch, trades_value
from replaying import PARTITION, Seen, assert_same_story, killed, straight, written

from processors.engine.engine import Engine
from processors.fold import UnknownState, Unreadable
from processors.ticks import Ticks
from schemas.intervals import parse_interval
from schemas.klines import decode_klines
from schemas.snapshots import Tick, decode_ticks
from schemas.topics import KLINES_LIVE, TRADES, symbol_key
from schemas.trades import Flag, decode_batch, encode_batch

KEY = symbol_key("binance", "linear", "BTCUSDT")


def fold_of(*records: bytes) -> Ticks:
    fold = Ticks(250)
    for offset, value in enumerate(records):
        fold.apply(TRADES, PARTITION, offset, value)
    return fold


def ticks(fold: Ticks, now_ms: int = 10_000) -> list[Tick]:
    found = [decode_ticks(o.value) for o in fold.outputs(now_ms, {PARTITION})]
    return [row for envelope in found for row in envelope.data]


def test_the_last_trade_has_its_price_quantity_and_side() -> None:
    (tick,) = ticks(fold_of(trades_value(group(side=[1, 1, -1]))))
    assert (tick.price, tick.qty) == (Decimal("28145.13"), Decimal("0.005"))
    assert (tick.side, tick.id, tick.rev) == (-1, 3, 0)


def test_a_late_trade_is_not_the_last() -> None:
    fold = fold_of(trades_value(group(first_id=10)), trades_value(group(first_id=4)))
    assert [(t.id, t.rev) for t in ticks(fold)] == [(12, 0)]


def test_a_trade_that_belongs_to_no_candle_is_not_the_last() -> None:
    fold = fold_of(trades_value(group(flags=[0, 0, int(Flag.NON_MARKET)])))
    assert [t.id for t in ticks(fold)] == [2]
    fold.apply(TRADES, PARTITION, 1, trades_value(group(first_id=9, flags=Flag.NON_MARKET)))
    assert ticks(fold, 20_000) == []


@pytest.mark.parametrize(("rule", "wanted"), [("dense", 9), ("unique", 4)])
def test_inside_a_millisecond_the_id_decides_or_the_arrival(rule, wanted) -> None:
    ts = 1_680_652_800_000
    one = group(count=2, id=[7, 9], ts=[ts, ts], price=[1, 2], qty=[1, 1], ids=rule)
    two = group(count=1, id=[4], ts=[ts], price=[3], qty=[1], ids=rule)
    assert [t.id for t in ticks(fold_of(trades_value(one), trades_value(two)))] == [wanted]


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(Unreadable):
        fold_of(b"{}")


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(UnknownState):
        Ticks(250).restore(PARTITION, {KEY: b"{}"})


def test_a_price_keeps_its_digits_over_a_restart() -> None:
    fold = fold_of(trades_value(group(count=1, price=[10], qty=[1], price_scale=8, qty_scale=0)))
    (before,) = [o.value for o in fold.outputs(0, {PARTITION})]
    assert b'"price":0.00000010,"qty":1,' in before
    again = Ticks(250)
    again.restore(PARTITION, written(fold))
    assert [o.value for o in again.outputs(0, {PARTITION})] == [before]


def test_a_state_that_is_ahead_of_the_records_does_not_go_back() -> None:
    ts = [1_680_652_800_000]
    records = [
        trades_value(group(id=[id_], ts=ts, price=[id_], qty=[1], ids="unique")) for id_ in (8, 3)
    ]
    again = Ticks(0)
    again.restore(PARTITION, written(fold_of(*records)))
    again.apply(TRADES, PARTITION, 0, records[0])
    assert [(t.id, t.rev) for t in ticks(again)] == [(3, 1)]


def story(rng: random.Random) -> list[bytes]:
    rule, made = rng.choice(["dense", "unique"]), []
    for n in range(rng.randint(1, 25)):
        groups = []
        for symbol in rng.sample(["A", "B:C", "#D"], rng.randint(1, 3)):
            first, count = 5 * n + rng.randrange(20), rng.randint(1, 4)
            ids = range(first, first + count)
            ts = [1_680_652_800_000 + id_ // 3 for id_ in ids]
            flags = rng.choice([0, [rng.randrange(2) for _ in ids]])
            price = [rng.randrange(1, 10**6) for _ in ids]
            of = {"symbol": symbol, "ids": rule, "ts": ts, "price": price, "flags": flags}
            groups.append(group(first, count, qty=[1] * count, **of))
        made.append(encode_batch(trade_batch(*groups, recv_ns=(1_680_652_800_000 + n) * 10**6)))
    return made


stories = st.integers(0, 2**32).map(random.Random).map(story)


@given(stories, st.integers(0, 2**32))
def test_any_crash_and_replay_tells_the_same_story(records, seed) -> None:
    wanted = straight(lambda: Ticks(0), records)
    assert_same_story(killed(lambda: Ticks(250), records, seed), wanted)


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_last_price_is_the_close_of_the_newest_candle(count, rng) -> None:
    """Dense ids, records in any order: the two agents agree."""
    engine = Engine((parse_interval("1h"),), grace_ms=80, live_every_ms=0, closes_quiet=False)
    records = [
        trades_value(group(first_id=3 * n, price=[rng.randrange(1, 99) for _ in range(3)]))
        for n in rng.sample(range(count), count)
    ]
    for offset, value in enumerate(records):
        engine.apply_batch(PARTITION, offset, decode_batch(value))
    values = [o.value for o in engine.outputs(0, {PARTITION}) if o.topic is KLINES_LIVE]
    (candle,) = decode_klines(values[-1]).data
    seen: Seen = straight(lambda: Ticks(0), records)
    ((_, newest),) = seen.newest.values()
    (tick,) = decode_ticks(newest).data
    assert (tick.price, tick.id) == (candle.close, candle.last_id)
