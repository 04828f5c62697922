"""Bars: merging in any order and grouping is the plain fold."""

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from oracle import T, candles_of

from processors.engine.bars import Bar
from processors.engine.columns import at_scales, is_dense_run, sum_columns
from schemas.trades import SymbolTrades

LENGTH = 1_000
FIELDS = ("open", "high", "low", "close", "volume", "quote", "buy_volume", "buy_quote", "count")

TRADE = st.builds(
    T,
    id=st.integers(0, 10**6),
    ts=st.integers(0, LENGTH - 1),
    price=st.integers(-(10**12), 10**12),
    qty=st.integers(1, 10**12),
    side=st.sampled_from([1, -1]),
    count=st.integers(1, 5),
)
TRADES = st.lists(TRADE, min_size=1, max_size=25, unique_by=lambda t: t.id)


def bar_of(trades: list[T], offset: int = 0) -> Bar:
    bar = Bar(0, 0, "live", offset)
    for t in trades:
        bar.take(t.ts, t.id, t.price, t.qty, t.side, t.count, offset)
    return bar


def numbers(bar: Bar) -> tuple[int, ...]:
    return tuple(getattr(bar, name) for name in (*FIELDS, "first_id", "last_id"))


def columns(trades: list[T]) -> SymbolTrades:
    return SymbolTrades(
        symbol="S",
        price_scale=0,
        qty_scale=0,
        id=[t.id for t in trades],
        ts=[t.ts for t in trades],
        price=[t.price for t in trades],
        qty=[t.qty for t in trades],
        side=[t.side for t in trades],
        first=[t.id * 10 for t in trades],
        last=[t.id * 10 + t.count - 1 for t in trades],
    )


@given(TRADES, st.integers())
def test_trades_in_any_order_give_the_oracles_bar(trades, seed) -> None:
    Random(seed).shuffle(trades)
    assert numbers(bar_of(trades)) == candles_of(trades, LENGTH)[0]


@given(TRADES, st.integers())
def test_merging_is_associative_and_commutative(trades, seed) -> None:
    rng = Random(seed)
    parts = [bar_of([trade]) for trade in trades]
    while len(parts) > 1:
        one = parts.pop(rng.randrange(len(parts)))
        parts[rng.randrange(len(parts))].merge(one)
    assert numbers(parts[0]) == candles_of(trades, LENGTH)[0]


@given(TRADES)
def test_sums_over_columns_are_the_loop(trades) -> None:
    trades.sort(key=lambda t: (t.ts, t.id))
    for cut in {0, len(trades) // 2}:
        whole = Bar(0, 0, "live", 0)
        sum_columns(whole, columns(trades), cut, len(trades))
        assert numbers(whole) == candles_of(trades[cut:], LENGTH)[0]


@given(TRADES, TRADES)
def test_a_group_in_order_is_taken_at_once(before, trades) -> None:
    before = [t._replace(ts=t.ts // 2) for t in before]
    after = max(t.ts for t in before)
    trades = sorted(t._replace(id=t.id + 10**7, ts=max(t.ts, after)) for t in trades)
    trades.sort(key=lambda t: (t.ts, t.id))
    bar = bar_of(before)
    group = columns(trades)
    last = group.ts[-1], group.id[-1]
    bar.take_run(group.price, group.qty, group.side, last, group.trade_count(), 3)
    assert numbers(bar) == candles_of(before + trades, LENGTH)[0]
    assert bar.rev == 3


@given(TRADES, st.integers(0, 9), st.integers(0, 9))
def test_rescaling_is_the_fold_of_rescaled_trades(trades, price_scale, qty_scale) -> None:
    bar = bar_of(trades)
    bar.rescale(10**price_scale, 10**qty_scale)
    group = at_scales(columns(trades), price_scale, qty_scale)
    assert (group.price_scale, group.qty_scale) == (price_scale, qty_scale)
    scaled = [
        t._replace(price=price, qty=qty)
        for t, price, qty in zip(trades, group.price, group.qty, strict=True)
    ]
    assert numbers(bar) == candles_of(scaled, LENGTH)[0]


def test_merge_keeps_the_younger_revision() -> None:
    old, young = bar_of([T(1, 1, 1, 1, 1)], offset=5), bar_of([T(2, 2, 1, 1, 1)], offset=9)
    old.merge(young)
    assert old.rev == 9
    late = bar_of([T(3, 0, 1, 1, 1)], offset=7)
    old.merge(late)
    assert old.rev == 9
    assert old.opened_at == 5


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.randoms())
def test_a_dense_run_is_what_it_says(times, random) -> None:
    ids = [random.randrange(6) for _ in times]
    is_dense = all(b - a == 1 for a, b in pairwise(ids))
    assert is_dense_run(ids, times) == (is_dense and times == sorted(times))
