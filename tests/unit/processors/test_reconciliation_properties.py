"""What is said last of a candle is a function of the topics' records, and of nothing else."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciling import MINUTE_MS, Desk, ours, ours_value, venue, venue_value

from processors.venue import series
from schemas.topics import KLINES, TRADES, VENUE_KLINES
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

EXAMPLES = 25
MINUTES = 16
CLOSES = ("10.5", "10.6")
QTY = Decimal("0.25")


class Market:
    """A quarter of an hour of a venue that does not always say that a candle is closed."""

    def __init__(self, seed: int, *, is_flagged: bool = True) -> None:
        self.random = Random(seed)
        odds = 0.2 if is_flagged else 0.0
        flagged = {m: [f for f in (1, 2, 4) if self.odds(odds)] for m in range(MINUTES)}
        self.topics = {
            KLINES.name: [
                ours_value(self.our_row(minute, rev), exchange="kraken")
                for rev, minute in enumerate(self.minutes())
            ],
            VENUE_KLINES.name: [
                venue_value(self.venue_row(minute, flagged[minute]), exchange="kraken")
                for minute in self.minutes()
            ],
            TRADES.name: [
                trade_value(n, minute, flag)
                for n, (minute, flag) in enumerate((m, f) for m in flagged for f in flagged[m])
            ],
        }

    def odds(self, chance: float) -> bool:
        return self.random.random() < chance

    def minutes(self) -> list[int]:
        """Each minute none to three times, most of them in order, some of them late."""
        told = []
        for minute in range(MINUTES):
            for _ in range(self.random.choice((0, 1, 1, 2, 3))):
                late = self.random.randrange(9) if self.odds(0.3) else 0
                told.append((minute + late + self.random.random() / 2, minute))
        return [minute for _, minute in sorted(told)]

    def our_row(self, minute: int, rev: int):
        rev -= self.random.randrange(3) if self.odds(0.2) else 0
        quality = "gap" if self.odds(0.2) else "proven"
        close = self.random.choice(CLOSES)
        return ours(minute, close, rev=max(0, rev), quality=quality, closed=self.odds(0.9))

    def venue_row(self, minute: int, flags: list[int]):
        counted = ours(minute).volume
        for flag in flags:
            counted += QTY if flag == 1 else -QTY
        close = self.random.choice(CLOSES)
        return venue(
            minute,
            close,
            open=Decimal(self.random.choice(("10.0", *CLOSES))),
            closed=self.odds(0.5),
            ts=self.random.choice((0, 0, 1)),
            volume=Decimal(0) if self.odds(0.1) else counted,
        )


def trade_value(id_: int, minute: int, flag: int) -> bytes:
    at_ms = ours(minute).timestamp
    trades = SymbolTrades("S", 1, 2, [id_], [at_ms], [105], [25], 1, flags=flag)
    return encode_batch(TradeBatch("kraken", "spot", "live", 1, [trades]))


EVENTS = ("say", "save", "crash", *[KLINES, VENUE_KLINES, TRADES] * 4)


def take_next(desk: Desk, topics, topic) -> bool:
    at = desk.next_offset.get(topic.name, 0)
    if at < len(topics[topic.name]):
        desk.take(topic, topics[topic.name][at])
        return True
    return False


def finish(desk: Desk, topics, order) -> dict:
    for topic in order:
        while take_next(desk, topics, topic):
            pass
    desk.say(is_caught_up=True)
    return desk.last()


def in_order(topics, order) -> dict:
    return finish(Desk(), topics, order)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """So that a dozen candles reach every limit but that of what is held."""
    monkeypatch.setattr(series, "HOLD_MS", 300_000)
    monkeypatch.setattr(series, "WAIT_MS", 60_000)
    monkeypatch.setattr(series, "SILENT_MS", 180_000)


@pytest.mark.parametrize("hold_ms", [300_000, 3_600_000])
@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_said_last_does_not_turn_on_the_order_of_reading_or_on_crashes(hold_ms, seed):
    check_any_order(hold_ms, seed)


def check_any_order(hold_ms: int, seed: int) -> None:
    # How far the trades are read nobody can tell: they must not be later than what is held.
    series.HOLD_MS = hold_ms
    topics = Market(seed, is_flagged=hold_ms > MINUTES * MINUTE_MS).topics
    random = Random(seed + 1)
    expected = in_order(topics, [KLINES, VENUE_KLINES, TRADES])
    assert in_order(topics, [TRADES, VENUE_KLINES, KLINES]) == expected

    desk = Desk()
    for _ in range(random.randrange(100)):
        event = random.choice(EVENTS)
        if event == "say":
            desk.say(is_caught_up=random.random() < 0.5)
        elif event == "save":
            desk.save()
        elif event == "crash":
            desk.save(states_written=random.randrange(4))
            desk.crash()
        else:
            take_next(desk, topics, event)
    assert finish(desk, topics, [VENUE_KLINES, KLINES, TRADES]) == expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_without_a_crash_every_row_of_a_candle_is_higher_than_the_one_before(seed):
    topics, random = Market(seed).topics, Random(seed + 1)
    desk = Desk()
    for _ in range(100):
        take_next(desk, topics, random.choice(EVENTS[3:]))
        desk.say(is_caught_up=random.random() < 0.5)
    finish(desk, topics, [VENUE_KLINES, KLINES, TRADES])
    said: dict[int, int] = {}
    for row in desk.rows:
        assert row.rev > said.get(row.timestamp, -1)
        said[row.timestamp] = row.rev


def test_the_markets_of_these_tests_have_every_verdict_and_most_explanations():
    told = {
        (row.verdict, row.explanation)
        for seed in range(20)
        for row in in_order(Market(seed).topics, [KLINES, VENUE_KLINES, TRADES]).values()
    }
    assert {verdict for verdict, _ in told} == {
        *("equal", "differs", "ours-missing", "venue-missing"),
    }
    assert {explanation for _, explanation in told} >= {
        *("", "late", "open-rule", "flagged", "began-inside"),
        *("stream-began", "empty", "unexplained"),
    }
