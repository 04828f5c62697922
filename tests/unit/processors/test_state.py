"""A state is written and read back whole, or refused."""

from contextlib import suppress
from operator import attrgetter

import orjson
import pytest
from folding import BASE_MS, MINUTE_MS, Fold, run, trades
from hypothesis import given
from hypothesis import strategies as st

from processors.changelog import is_slot, slot_key, symbol_of
from processors.engine.engine import Engine
from processors.engine.recent import CHUNK_IDS
from processors.engine.state import VERSION, dump, load
from processors.fold import UnknownState
from schemas.intervals import Interval
from schemas.topics import symbol_key
from schemas.trades import SymbolTrades

KEY = symbol_key("binance", "linear", "S")
DAYS_30_MS = 30 * 86_400_000
FIVE = Interval(5_000)
LONG_MS = 100_000  # after which every open candle is due


def intervals(*lengths: int) -> tuple[Interval, ...]:
    return tuple(map(Interval, lengths))


def saved(fold: Fold) -> dict[bytes, bytes]:
    fold.outputs()
    return {key: value for _, key, value in fold.engine.take_dirty()}


def reborn(fold: Fold, *lengths: int) -> Fold:
    """Return a fold that goes on from the state of another, perhaps with other intervals."""
    states = saved(fold)
    again = Fold(*lengths or (1_000, 5_000))
    again.engine.restore(0, states)
    again.offset = fold.offset
    return again


STEP = st.tuples(
    st.sampled_from([1, 1, 1, 1, 2, 5, -1, -3]),  # of the id
    st.sampled_from([0, 1, 300, 999, 5_000, 11_000, -700]),  # of the time
    st.integers(1, 10**18),
    st.integers(1, 10**18),
    st.sampled_from([1, -1]),
)


@given(st.lists(STEP, min_size=1, max_size=25), st.integers(0, 25))
def test_a_state_that_was_written_and_read_goes_on_like_one_that_was_not(steps, cut) -> None:
    one, other = Fold(), Fold()
    at_id = at_ms = 20_000
    for n, (step_id, step_ms, price, qty, side) in enumerate(steps):
        at_id, at_ms = at_id + step_id, at_ms + step_ms
        for fold in (one, other):
            fold.take(trades((at_id, at_ms, price, qty, side)))
        assert one.outputs(n * LONG_MS) == other.outputs(n * LONG_MS)
        if n == cut:
            other = reborn(other)
    assert one.finish() == other.finish()


@given(st.lists(STEP, min_size=1, max_size=12))
def test_load_and_dump_are_each_others_inverse(steps) -> None:
    fold = Fold(1_000, 5_000)
    at_id = at_ms = 20_000
    for step_id, step_ms, price, qty, side in steps:
        at_id, at_ms = at_id + step_id, at_ms + step_ms
        fold.take(trades((at_id, at_ms, price, qty, side)))
    written = saved(fold)[KEY]
    assert dump(load(KEY, written, intervals(1_000, 5_000))) == written


def test_sums_beyond_64_bits_are_kept() -> None:
    fold = Fold(DAYS_30_MS)
    rows = [(n, n, 2**62, 2**62, 1) for n in range(1, 6)]
    fold.take(trades(*rows))
    (candle,) = reborn(fold, DAYS_30_MS).finish()
    assert candle.volume == candle.taker_buy_volume == 5 * 2**62
    assert candle.quote_volume == 5 * 2**124


def test_prices_beyond_64_bits_at_a_grown_scale_are_kept() -> None:
    fold = Fold(MINUTE_MS)
    fold.take(trades((1, 0, 2**62, 1, 1), (2, 1, -(2**62), 1, 1)))
    fold.take(trades((3, 2, 5, 1, 1), price_scale=18))
    (candle,) = reborn(fold, MINUTE_MS).finish()
    assert (candle.high, candle.low) == (2**62, -(2**62))


def test_a_symbol_with_a_colon_is_found_again() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 0), symbol="A:B:C"))
    states = saved(fold)
    again = Fold(1_000)
    again.engine.restore(0, states)
    (candle,) = again.finish()
    assert candle.symbol == "A:B:C"


def test_a_new_interval_says_nothing_before_it_is_filled_from_history() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(trades(*run(1, 100, 30_000)))
    again = reborn(fold, 5_000, MINUTE_MS)
    assert again.engine.lacking(0) == intervals(5_000)
    again.take(trades(*run(3, 31_000, 36_000, MINUTE_MS + 100)))
    quality = {(k.interval, k.timestamp - BASE_MS): k.quality for k in again.klines()}
    assert quality == {(MINUTE_MS, 0): "proven"}


@given(st.lists(STEP, min_size=2, max_size=20), st.integers(0, 20))
def test_an_interval_filled_from_history_goes_on_as_if_it_had_always_been_there(steps, cut) -> None:
    always, later, donor = Fold(1_000, 5_000), Fold(1_000), Fold(5_000)
    at_id = at_ms = 20_000
    for n, (step_id, step_ms, price, qty, side) in enumerate(steps):
        at_id, at_ms = at_id + step_id, at_ms + step_ms
        for fold in (always, later, donor):
            fold.take(trades((at_id, at_ms, price, qty, side)))
        if n == min(cut, len(steps) - 1):
            always.outputs(), later.outputs(), donor.outputs()
            later.engine.want(intervals(1_000, 5_000))
            later.engine.adopt(0, donor.engine, {FIVE: 0}, 0)
            later = reborn(later)
    key = attrgetter("interval", "timestamp")
    assert sorted(later.finish(), key=key) == sorted(always.finish(), key=key)


def test_a_window_whose_history_is_gone_is_a_gap_over_restarts_too() -> None:
    fold, donor = Fold(1_000), Fold(MINUTE_MS)
    for each in (fold, donor):
        each.take(trades(*run(1, 100)))
    fold.engine.want(intervals(1_000, MINUTE_MS))
    fold.engine.adopt(0, donor.engine, {Interval(MINUTE_MS): 0}, BASE_MS + 50)
    again = reborn(fold, 1_000, MINUTE_MS)
    again.take(trades(*run(2, MINUTE_MS + 100, 2 * MINUTE_MS + 100)))
    found = again.closed(MINUTE_MS)
    assert [found[at].quality for at in (0, MINUTE_MS)] == ["gap", "proven"]


def test_an_interval_that_is_no_longer_wanted_ends() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(trades(*run(1, 100)))
    fold.engine.want(intervals(MINUTE_MS))
    fold.take(trades(*run(2, 61_000)))
    assert {k.interval for k in fold.klines()} == {MINUTE_MS}


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", b"[]", b"null", b'{"v":0}', b'{"v":2}', b'{"v":1}', b'{"v":2,"scalars":[1]}'],
)
def test_what_another_version_wrote_is_refused(value) -> None:
    with pytest.raises(UnknownState):
        load(KEY, value, intervals(1_000))


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_a_damaged_state_is_read_or_refused_and_nothing_else(noise, at, cut) -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    whole = saved(fold)[KEY]
    with suppress(UnknownState):
        load(KEY, whole[:at] + noise + whole[at + cut :], intervals(1_000))


def test_a_state_with_something_unsent_is_a_bug() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100, 60_000)))
    with pytest.raises(AssertionError):
        fold.engine.take_dirty()


def test_a_record_of_a_state_is_json() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100)))
    assert orjson.loads(saved(fold)[KEY])["v"] == VERSION


def test_only_what_changed_since_the_last_checkpoint_is_written() -> None:
    fold = Fold(1_000)
    fold.take(trades(*run(1, 100), symbol="A"), trades(*run(1, 100), symbol="B"))
    assert len(saved(fold)) == 2
    assert saved(fold) == {}
    fold.take(trades(*run(2, 200), symbol="B"))
    assert list(saved(fold)) == [symbol_key("binance", "linear", "B")]
    assert isinstance(fold.engine, Engine)


def unique(count: int, ms: int = 0) -> SymbolTrades:
    return trades(*((n * 7 % 1_009, ms + n, 1, 1, 1) for n in range(count)), ids="unique")


def test_recent_ids_come_before_the_state_that_counts_on_them() -> None:
    fold = Fold(1_000)
    fold.take(unique(300))
    fold.outputs()
    keys = [key for _, key, _ in fold.engine.take_dirty()]
    assert keys[-1] == KEY
    assert all(is_slot(key) and symbol_of(key) == KEY for key in keys[:-1])
    assert len(keys) == 1 + -(-300 // CHUNK_IDS)


def test_a_repeat_after_a_restart_counts_once() -> None:
    fold = Fold(1_000, MINUTE_MS)
    fold.take(unique(300))
    again = reborn(fold, 1_000, MINUTE_MS)
    again.take(unique(301))
    assert {k.trade_count for k in again.finish()} == {301}


def test_a_state_whose_recent_ids_are_gone_is_refused() -> None:
    fold = Fold(1_000)
    fold.take(unique(3))
    written = saved(fold)
    with pytest.raises(UnknownState):
        load(KEY, written[KEY], intervals(1_000), {})
    assert dump(load(KEY, written[KEY], intervals(1_000), written)) == written[KEY]


def test_a_symbol_that_looks_like_a_key_of_recent_ids_is_told_apart() -> None:
    assert symbol_of(slot_key(12, b"kraken:spot:#1#A:B#")) == b"kraken:spot:#1#A:B#"
    assert symbol_of(b"kraken:spot:#1#A") == b"kraken:spot:#1#A"
