"""Packed records fold into the same candles as their trades one by one."""

import struct
from fractions import Fraction

import msgspec
import pytest
from folding import BASE_MS, END_OF_TIME_MS, Fold
from hypothesis import given
from hypothesis import strategies as st

from processors.engine.runs import parts_of
from schemas.intervals import SECOND_MS
from schemas.klines import Kline
from schemas.packed import Columns, pack
from schemas.topics import TRADES
from schemas.trades import (
    PackedBatch,
    SymbolTrades,
    TradeBatch,
    UnreadableBatch,
    decode_any_batch,
    decode_batch,
    encode_batch,
)

ROW = st.tuples(
    st.sampled_from([0, 0, 1, 7, 400, 999, 2_500, 61_000]),  # of time
    st.integers(-50, 10**9),  # price
    st.integers(0, 10**6),  # quantity
    st.sampled_from([1, -1]),
    st.integers(0, 3),  # of further trades in the aggregate
)


def group(symbol: str, first_id: int, at_ms: int, rows, *, aggregated: bool) -> SymbolTrades:
    times, last, last_id = [], [], first_id * 10
    for row in rows:
        at_ms += row[0]
        times.append(at_ms)
        last_id += row[4]
        last.append(last_id)
        last_id += 1
    return SymbolTrades(
        symbol=symbol,
        price_scale=2,
        qty_scale=3,
        id=list(range(first_id, first_id + len(rows))),
        ts=times,
        price=[row[1] for row in rows],
        qty=[row[2] for row in rows],
        side=[row[3] for row in rows],
        first=[first_id * 10, *(id_ + 1 for id_ in last[:-1])] if aggregated else None,
        last=last if aggregated else None,
    )


def batch(*groups: SymbolTrades, source: str = "live") -> TradeBatch:
    return TradeBatch("binance", "linear", source, (BASE_MS + 99_000) * 10**6, list(groups))


@st.composite
def streams(draw) -> list[TradeBatch]:
    """Draw records of two symbols; at times ids jump or come again, or the clock steps back."""
    aggregated = draw(st.booleans())
    next_id, at_ms = {"A": 1, "B": 500}, {"A": BASE_MS, "B": BASE_MS}
    found = []
    for _ in range(draw(st.integers(1, 5))):
        groups = []
        for symbol in draw(st.sampled_from([("A",), ("A", "B"), ("B", "A")])):
            rows = draw(st.lists(ROW, min_size=1, max_size=12))
            first_id = next_id[symbol] + draw(st.sampled_from([0, 0, 0, 0, 3, -2]))
            start_ms = at_ms[symbol] + draw(st.sampled_from([0, 0, 0, -600]))
            made = group(symbol, max(1, first_id), start_ms, rows, aggregated=aggregated)
            next_id[symbol], at_ms[symbol] = made.id[-1] + 1, made.ts[-1]
            groups.append(made)
        found.append(batch(*groups, source=draw(st.sampled_from(["live", "live", "rest"]))))
    return found


def told(fold: Fold, now_ms: int) -> dict[str, list]:
    """Return what is due; between symbols there is no order."""
    found = fold.outputs(now_ms)
    return {topic: sorted(rows, key=lambda row: row.symbol) for topic, rows in found.items()}


def latest(candles: list[Kline]) -> dict[tuple[str, int, int], Kline]:
    """Return each candle at its highest revision."""
    ranked = sorted(candles, key=lambda candle: candle.version)
    return {(one.symbol, one.interval, one.timestamp): one for one in ranked}


@pytest.mark.parametrize("binary_from", [1, 10**6])
@given(stream=streams())
def test_a_packed_record_says_what_its_trades_say_and_when(binary_from, stream) -> None:
    packed, plain = Fold(1_000, 60_000), Fold(1_000, 60_000)
    for offset, one in enumerate(stream):
        value = encode_batch(one, binary_from=binary_from)
        assert isinstance(decode_any_batch(value), PackedBatch)
        packed.engine.apply(TRADES, 0, offset, value)
        plain.engine.apply_batch(0, offset, one)
        assert told(packed, offset) == told(plain, offset)
    packed.engine.tick(END_OF_TIME_MS, {0})
    plain.engine.tick(END_OF_TIME_MS, {0})
    assert told(packed, 10**6) == told(plain, 10**6)


@pytest.mark.parametrize("lengths", [(1_000, 60_000), (60_000, 173 * 60_000), (90_000,)])
@given(stream=streams(), clock_ms=st.lists(st.integers(0, 200_000), min_size=5, max_size=5))
def test_a_packed_record_gives_the_same_candles_whatever_the_clock_closes(
    lengths, stream, clock_ms
) -> None:
    packed, plain = Fold(*lengths), Fold(*lengths)
    for offset, one in enumerate(stream):
        packed.engine.apply(TRADES, 0, offset, encode_batch(one, binary_from=1))
        plain.engine.apply_batch(0, offset, one)
        for fold in (packed, plain):
            fold.engine.tick(BASE_MS + clock_ms[offset], {0})
    assert latest(packed.finish()) == latest(plain.finish())


@pytest.mark.parametrize("binary_from", [1, 10**6])
@given(stream=streams())
def test_what_is_packed_is_unpacked_the_same(binary_from, stream) -> None:
    for one in stream:
        assert decode_batch(encode_batch(one, binary_from=binary_from)) == one


def test_few_trades_are_packed_as_lists() -> None:
    one = batch(group("A", 1, BASE_MS, [(0, 1, 1, 1, 0)], aggregated=False))
    packed = decode_any_batch(encode_batch(one))
    assert isinstance(packed, PackedBatch)
    assert packed.ts == [0]


@pytest.mark.parametrize(
    "change",
    [
        {"flags": 2},
        {"ids": "unique"},
        {"id": [1, 3]},
        {"first": [1, 9], "last": [2, 9]},
    ],
)
def test_trades_that_are_no_run_are_not_packed(change) -> None:
    one = group("A", 1, BASE_MS, [(0, 1, 1, 1, 0)] * 2, aggregated=False)
    for name, value in change.items():
        setattr(one, name, value)
    assert pack(batch(one), is_binary=True) is None
    assert decode_batch(encode_batch(batch(one), binary_from=1)) == batch(one)


def test_numbers_whose_sums_could_overflow_are_folded_one_by_one() -> None:
    rows = [(1, 2**60, 2**60, 1, 0)] * 3
    one = batch(group("A", 1, BASE_MS, rows, aggregated=False))
    packed = pack(one, is_binary=True)
    assert packed is not None
    assert parts_of(Columns(packed), SECOND_MS) is None
    fold = Fold(60_000)
    fold.engine.apply(TRADES, 0, 0, encode_batch(one, binary_from=1))
    (candle,) = fold.finish()
    assert Fraction(candle.quote_volume) * 10**5 == 3 * 2**120


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ts", b"123"),
        ("price", b""),
        ("side", b"\x01\x00\x00\x00" * 2),
        ("qty", b"\x00" * 24),
        ("last", b"\x00" * 8),
        ("price", [1, 2]),
        ("last", [1, 3]),
        ("last", struct.pack("<2q", 2**62, -(2**63))),
        ("from_ms", 9_999_999_999_999),
    ],
)
def test_a_damaged_record_is_refused_whole(field, value) -> None:
    rows = [(1, 5, 5, 1, 0)] * 2
    packed = pack(batch(group("A", 1, BASE_MS, rows, aggregated=True)), is_binary=True)
    setattr(packed, field, value)
    with pytest.raises(UnreadableBatch):
        Columns(packed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ts", [1]),
        ("price", b"\x00" * 8),
        ("side", [1, 0]),
        ("qty", [1, 2, 3]),
        ("last", [3, 3]),
        ("last", [-1, 3]),
        ("last", [1, 2**41]),
        ("price", []),
        ("from_ms", 9_999_999_999_999),
    ],
)
def test_a_damaged_record_of_lists_is_refused_whole(field, value) -> None:
    rows = [(1, 5, 5, 1, 0)] * 2
    packed = pack(batch(group("A", 1, BASE_MS, rows, aggregated=True)), is_binary=False)
    setattr(packed, field, value)
    with pytest.raises(UnreadableBatch):
        decode_batch(msgspec.json.encode(packed))
