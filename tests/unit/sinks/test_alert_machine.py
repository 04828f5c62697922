"""Rules and events to crossings: once each, whatever is read again."""

from decimal import Decimal

import hypothesis
import msgspec
import pytest
from alerting import MARKET, SUBJECT, candle, fired, price, rule, texts
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import decode_alert_state, encode_alert
from schemas.control import StreamStatus
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.streams import stream_key
from sinks.alerts import machine as machines
from sinks.alerts.machine import Machine

S = 1_000


def machine(*rules, states=()):
    made = Machine()
    made.load(rules, states)
    return made


def fed(values, *rules):
    made = machine(*rules)
    for rev, value in enumerate(values):
        made.take_price(MARKET, price(value, rev))
    return made


@pytest.mark.parametrize(
    ("direction", "values", "crossings"),
    [
        ("up", [99, 100], 1),
        ("up", [99, 101, 102, 101], 1),
        ("up", [101, 102], 0),  # above before anybody looked
        ("up", [99, 100, "99.5", 100], 1),  # not back by 1 %
        ("up", [99, 100, 99, 100], 2),
        ("down", [101, 100, 99], 1),
        ("down", [101, 99, "100.5", 99], 1),
        ("down", [101, 99, 101, 99], 2),
        ("both", [99, 101, 99, 101], 3),
        ("up", [100, 100], 0),
    ],
)
def test_a_level_is_crossed_once_until_the_price_has_gone_back(direction, values, crossings):
    assert fired(fed(values, rule(direction=direction))) == crossings


def test_a_crossing_within_the_cooldown_is_counted_and_not_told():
    made = fed([99, 100, 99, 100, 99], rule(direction="up", cooldown_s=60))
    assert fired(made) == 1
    assert made.outcomes["price-crosses", "cooled"] == 1
    made.take_price(MARKET, price(100, 70))
    assert fired(made) == 2


def test_other_symbols_and_disabled_rules_are_left_alone():
    made = fed([99, 101], rule(symbol="ETHUSDT"), rule(id="two", enabled=False))
    assert made.states == {}


def test_a_rule_written_later_begins_on_the_side_of_the_last_price():
    made = fed([99, 101, 99])
    made.put(rule(direction="up", changed_ms=2_500))
    made.take_price(MARKET, price(101, 3))
    assert fired(made) == 1


def test_what_crossed_before_the_rule_was_written_is_not_told():
    made = machine(rule(direction="up", changed_ms=5_000))
    for rev, value in enumerate([99, 101, 99, 101, 99, 99]):
        made.take_price(MARKET, price(value, rev))
    assert fired(made) == 0
    made.take_price(MARKET, price(101, 6))
    assert fired(made) == 1


def test_a_changed_rule_begins_anew_and_forgets_what_waits():
    made = fed([99, 101], rule())
    assert made.waiting
    made.changes()
    made.put(rule(level=Decimal(200), changed_ms=9))
    assert made.waiting == {}
    assert made.changes()["one", SUBJECT].crossings == 0
    made.drop("one")
    assert made.changes() == {("one", SUBJECT): None}
    assert made.states == {}


@pytest.mark.parametrize(
    ("values", "crossings"),
    [
        ([100, 104, 105], 1),
        ([100, 105, 106, 107], 1),
        ([100, 104, "104.9"], 0),
        ([100, 95], 1),
        ([100, 106, 100], 2),  # up, and down from there
    ],
)
def test_a_move_is_measured_from_the_extremes_of_its_window(values, crossings):
    assert fired(fed(values, rule("price-moves"))) == crossings


def test_a_slow_move_is_none_and_the_same_direction_is_told_once_in_its_window():
    made = machine(rule("price-moves"))
    for minute in range(10):
        made.take_price(MARKET, price(100 + 4 * minute, minute, ts=minute * 61 * S))
    assert fired(made) == 0
    quick = machine(rule("price-moves", direction="up"))
    for rev, value in enumerate([100, 106, 100, 106]):
        quick.take_price(MARKET, price(value, rev))
    assert fired(quick) == 1
    assert quick.outcomes["price-moves", "cooled"] == 1


def candles(volumes, made=None, **changes):
    made = made or machine(rule("volume-spike", **changes))
    for minute, volume in enumerate(volumes):
        made.take_candle(MARKET, candle(minute, volume))
    return made


@pytest.mark.parametrize(
    ("volumes", "crossings"),
    [
        ([1, 1, 9], 0),  # not enough before it
        ([1, 1, 1, 3], 1),
        ([1, 1, 1, 2], 0),
        ([1, 1, 1, 3, 9], 1),  # still
        ([1, 1, 1, 3, 1, 9], 2),
        ([0, 0, 0, 5], 0),  # of nothing everything is a multiple
    ],
)
def test_a_volume_is_compared_with_the_candles_before_it(volumes, crossings):
    assert fired(candles(volumes)) == crossings


def test_a_corrected_candle_is_judged_again_and_told_once():
    made = candles([1, 1, 1, 2])
    made.take_candle(MARKET, candle(3, 4, rev=10))
    assert fired(made) == 1
    made.take_candle(MARKET, candle(3, 1, rev=11))
    made.take_candle(MARKET, candle(3, 5, rev=12))
    assert fired(made) == 1
    made.take_candle(MARKET, candle(2, 99, rev=13))
    assert fired(made) == 1
    made.take_candle(MARKET, candle(4, 500, interval=300_000))
    assert fired(made) == 1


def gap(state="found", first=1, last=9, symbol="BTCUSDT"):
    return GapEnvelope("binance", "linear", [Gap(symbol, first, last, 0, 1, 9, state, 1)])


def test_a_gap_is_told_once_when_it_is_open_for_too_long_and_forgotten_when_closed():
    made = machine(rule("gap-open"))
    made.gaps.take(gap(), 0)
    made.tick(59 * S)
    assert fired(made) == 0
    made.tick(60 * S)
    made.tick(90 * S)
    made.gaps.take(gap("recovering"), 91 * S)
    made.tick(95 * S)
    assert texts(made) == ["1 gap(s) open, the oldest for 60 s"]
    made.gaps.take(gap("recovered", 1, 5), 96 * S)
    made.tick(97 * S)
    assert fired(made) == 1
    made.gaps.take(gap("unrecoverable", 6, 9), 98 * S)
    made.settle(("one", SUBJECT), 0, [1], 0)
    made.tick(99 * S)
    assert made.states == {}


def test_a_silent_book_is_a_gap_of_its_stream():
    made = machine(rule("gap-open"))
    row = StreamGap(symbol="", kind="books", reason="silent", state="found", from_ms=0)
    made.gaps.take(StreamGapEnvelope("okx", "spot", [row]), 0)
    made.tick(60 * S)
    assert texts(made) == ["1 gap(s) of books open, the oldest for 60 s"]
    whole = msgspec.structs.replace(row, state="recovered", to_ms=61 * S)
    made.gaps.take(StreamGapEnvelope("okx", "spot", [whole]), 61 * S)
    made.tick(62 * S)
    made.gaps.take(StreamGapEnvelope("okx", "spot", [row]), 63 * S)
    made.tick(200 * S)
    assert fired(made) == 2


def status(text, state, since_ms):
    key = stream_key(text)
    return key, StreamStatus(**key._asdict(), state=state, since_ms=since_ms)


TRADES = "binance:linear:BTCUSDT:trades:ws"
BEAT = "binance:linear:*1/1:trades:ws"


def test_a_stream_is_silent_by_its_own_word_or_when_its_ingestor_is_dead():
    made = machine(rule("stream-silent", symbol="BTC*"))
    made.streams.take(*status(BEAT, "live", 0))
    made.streams.take(*status(TRADES, "live", 0))
    made.tick(59 * S)
    assert fired(made) == 0
    made.tick(60 * S)
    assert texts(made) == ["its ingestor is dead, for 60 s"]
    made.streams.take(*status(BEAT, "live", 61 * S))
    made.streams.take(*status(TRADES, "silent", 61 * S))
    made.tick(62 * S)
    made.streams.take(*status(BEAT, "live", 121 * S))
    made.tick(121 * S)
    assert texts(made)[1:] == ["it is silent, for 60 s"]


def test_a_stream_that_was_stopped_is_not_silent():
    made = machine(rule("stream-silent"))
    made.streams.take(*status(BEAT, "stopped", 0))
    made.streams.take(*status(TRADES, "stopped", 0))
    made.tick(3_600 * S)
    assert fired(made) == 0


def test_an_ingestor_of_several_is_missed_by_a_rule_for_all():
    made = machine(rule("stream-silent"))
    made.streams.take(*status("binance:linear:*1/2:trades:ws", "live", 0))
    made.streams.take(*status("binance:linear:*2/2:trades:ws", "live", 60 * S))
    made.streams.take(*status(TRADES, "live", 0))
    made.tick(61 * S)
    assert [key[1] for key in made.waiting] == ["binance:linear:*1/2:trades:ws"]


def test_lag_and_disk_are_told_once_until_they_are_better():
    made = machine(rule("consumer-lag"), rule("disk-free", id="two"))
    for at, lag in enumerate([50, 100, 60, 200, 49, 100]):
        made.take_lags({("fibstream.sink.redis", "md.klines.v1"): lag, ("other", "x"): 999}, at)
    assert made.states["one", "fibstream.sink.redis md.klines.v1"].crossings == 2
    for at, gib in enumerate([9, 8, 10, 9, 11, 9]):
        made.take_disk("/", gib << 30, at)
        made.take_disk("/other", 0, at)
    assert made.states["two", "/"].crossings == 2


def test_of_too_many_subjects_the_last_are_left_out_and_counted(monkeypatch):
    monkeypatch.setattr(machines, "SUBJECTS_MAX", 2)
    made = machine(rule("consumer-lag"))
    made.take_lags({(f"fibstream.{n}", "t"): 100 for n in range(3)}, 1)
    assert fired(made) == 2
    assert made.outcomes["consumer-lag", "left out"] == 1


# -- once per crossing, whatever is read again


def test_after_a_restart_what_was_judged_is_read_again_and_not_told():
    made = fed([99, 101, 99], rule(direction="up"))
    again = machine(rule(direction="up"), states=made.states.values())
    for rev, value in enumerate([99, 101, 99]):
        again.take_price(MARKET, price(value, rev))
    assert fired(again) == 1
    again.take_price(MARKET, price(101, 3))
    assert fired(again) == 2


def test_what_crossed_while_nothing_ran_is_told_after_the_start():
    made = fed([99], rule(direction="up"))
    again = machine(rule(direction="up"), states=made.states.values())
    again.take_price(MARKET, price(101, 1))
    assert fired(again) == 1


PRICES = st.lists(st.sampled_from([94, 97, 99, 100, 101, 103, 106]), min_size=1, max_size=24)
RULES = (
    rule(direction="both"),
    rule(id="cool", direction="up", cooldown_s=5),
    rule("price-moves", id="moves", within_s=10),
)


RESTARTS_MAX = 4


class Stored:
    """The compacted topic: what a restart begins with."""

    def __init__(self) -> None:
        self.records = {}
        self.told = []

    def store(self, made) -> None:
        for key, state in made.changes().items():
            before = self.records.pop(key, None)
            if state is None:
                continue
            known = before.crossings if before else 0
            self.told += [(key, c.number, c.at_ms) for c in state.waiting if c.number > known]
            self.records[key] = decode_alert_state(encode_alert(state))


@hypothesis.settings(max_examples=60)
@given(PRICES, st.data())
def test_every_crossing_is_told_once_whatever_is_repeated_and_wherever_it_restarts(values, data):
    events = [price(value, rev) for rev, value in enumerate(values)]
    straight = Stored()
    made = machine(*RULES)
    for event in events:
        made.take_price(MARKET, event)
        straight.store(made)

    stored = Stored()
    made = machine(*RULES)
    at = restarts = 0
    while at < len(events):
        made.take_price(MARKET, events[at])
        at += 1
        action = data.draw(
            st.sampled_from(["on", "on", "again", "older", "stored", "killed", "ended"])
        )
        if action in ("stored", "ended"):
            stored.store(made)
        match action:
            case "again":
                made.take_price(MARKET, events[at - 1])
            case "older":
                made.take_price(MARKET, events[data.draw(st.integers(0, at - 1))])
            case "killed" | "ended" if restarts < RESTARTS_MAX:
                # What was not stored is lost, and everything is read again.
                restarts += 1
                made, at = machine(*RULES, states=stored.records.values()), 0
    stored.store(made)
    assert sorted(stored.told) == sorted(straight.told)


@hypothesis.settings(max_examples=40)
@given(st.lists(st.sampled_from([1, 2, 3, 9]), min_size=1, max_size=16), st.data())
def test_every_spike_is_told_once_whatever_is_repeated(volumes, data):
    events = [candle(minute, volume) for minute, volume in enumerate(volumes)]
    once = fired(candles(volumes))
    made = machine(rule("volume-spike"))
    for at, event in enumerate(events):
        made.take_candle(MARKET, event)
        for again in data.draw(st.lists(st.integers(0, at), max_size=3)):
            made.take_candle(MARKET, events[again])
        if data.draw(st.booleans()):
            made = machine(rule("volume-spike"), states=made.states.values())
            for before in events[: at + 1]:
                made.take_candle(MARKET, before)
    assert fired(made) == once
