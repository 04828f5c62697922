"""Intervals on demand: asked for within bounds, kept while wanted, taken back by who sees it."""

import asyncio

import msgspec
import pytest

from runtime.errors import Retriable
from schemas.control import IntervalControl, interval_key
from schemas.intervals import Interval, parse_interval, parse_intervals
from schemas.wanted import INTERVALS_MAX, WantedIntervals
from sinks.gateway import demand
from sinks.gateway.demand import LEASE_MS, SKEW_MS, Demand

SETTINGS = parse_intervals(["1m", "5m"])
SEVEN, NINE, WEEK = map(parse_interval, ["7m", "9m", "1w@mon"])
NOW = 1_769_809_921_000


class Log:
    """Records that every gateway reads at once."""

    def __init__(self) -> None:
        self.readers: list[WantedIntervals] = []
        self.records = 0
        self.is_away = False

    async def write(self, changes) -> None:
        if self.is_away:
            raise Retriable("Kafka did not acknowledge it", retry_after_s=2.0)
        self.put(changes)

    def put(self, changes) -> None:
        for key, control in changes.items():
            self.records += 1
            for reader in self.readers:
                reader.take(key.encode(), None if control is None else msgspec.json.encode(control))

    def say(self, changes) -> None:
        """Be an operator."""
        self.put({interval_key(parse_interval(text)): each for text, each in changes.items()})


class Gateway:
    """One that has clients that want some intervals."""

    def __init__(self, log: Log, *, most: int = 32) -> None:
        self.log = log
        self.wanted = WantedIntervals(SETTINGS)
        log.readers.append(self.wanted)
        self.used: set[Interval] = set()
        self.demand = Demand(self.wanted, lambda: self.used, log.write, most=most)

    def ask(self, interval: Interval) -> str | None:
        self.used.add(interval)
        return self.demand.ask(interval)

    def look(self, now_ms: int) -> dict:
        changes = self.demand.changes(now_ms)
        self.log.put(self.demand.records(changes))
        return changes

    @property
    def made(self) -> list[str]:
        return [interval.text for interval in self.wanted.made]


def test_what_is_asked_for_is_made_and_taken_back_a_while_after_nobody_wants_it():
    gateway = Gateway(Log())
    assert gateway.ask(SEVEN) is None
    gateway.look(NOW)
    assert gateway.made == ["1m", "5m", "7m"]
    gateway.used.clear()
    assert gateway.look(NOW + LEASE_MS) == {}
    assert gateway.look(NOW + LEASE_MS + SKEW_MS + 1) == {SEVEN: None}
    assert gateway.made == ["1m", "5m"]
    assert gateway.look(NOW + 2 * LEASE_MS) == {}


def test_it_is_kept_while_somebody_wants_it_with_few_records():
    gateway = Gateway(Log())
    gateway.ask(SEVEN)
    for second in range(0, 7_200, 5):
        gateway.look(NOW + second * 1_000)
    assert gateway.made == ["1m", "5m", "7m"]
    assert gateway.log.records == 7_200 // 60


def test_gateways_side_by_side_do_not_fight():
    log = Log()
    one, other, third = Gateway(log), Gateway(log), Gateway(log)
    one.ask(SEVEN)
    other.used.add(SEVEN)
    for second in range(0, 3_600, 5):
        for gateway in (one, other, third):
            gateway.look(NOW + second * 1_000)
    assert log.records == 3_600 // 60, "one puts the end off, and the others see it"
    one.used.clear()
    other.used.clear()
    later = NOW + 3_600_000 + LEASE_MS + SKEW_MS
    assert third.look(later) == {SEVEN: None}, "whoever sees it first"
    assert one.look(later) == other.look(later) == {}
    assert one.made == ["1m", "5m"]


def test_one_that_was_taken_back_under_a_client_is_asked_for_again():
    log = Log()
    one, other = Gateway(log), Gateway(log)
    one.ask(SEVEN)
    one.look(NOW)
    other.look(NOW + 2 * LEASE_MS)  # its clock is wrong
    assert one.made == ["1m", "5m"]
    one.look(NOW + 5_000)
    assert one.made == ["1m", "5m", "7m"]


def test_what_is_made_anyway_is_left_alone():
    gateway = Gateway(Log())
    gateway.log.say({"9m": gateway.wanted.changed(NINE, 1, enabled=True)})
    for interval in (SETTINGS[0], NINE):
        assert gateway.ask(interval) is None
    assert gateway.look(NOW) == {}
    gateway.used.clear()
    assert gateway.look(NOW + 10 * LEASE_MS) == {}


def test_what_an_operator_adds_stays_and_what_he_removes_is_not_asked_for():
    gateway = Gateway(Log())
    gateway.ask(SEVEN)
    gateway.ask(NINE)
    gateway.look(NOW)
    gateway.log.say(
        {
            "7m": gateway.wanted.changed(SEVEN, NOW, enabled=True),
            "9m": gateway.wanted.changed(NINE, NOW, enabled=False),
        }
    )
    assert gateway.look(NOW + LEASE_MS) == {}
    gateway.used.clear()
    assert gateway.look(NOW + 10 * LEASE_MS) == {SEVEN: None, NINE: None}, "the leases alone"
    assert gateway.made == ["1m", "5m", "7m"]


def test_a_lease_never_overwrites_what_an_operator_said_at_the_same_moment():
    for enabled in (True, False):
        gateway = Gateway(Log())
        gateway.ask(SEVEN)
        gateway.look(NOW)
        later = NOW + LEASE_MS + SKEW_MS + 1
        prolonged = {SEVEN: gateway.wanted.prolonged(SEVEN, NOW, NOW + LEASE_MS)}
        for written in ({SEVEN: None}, prolonged):
            records = gateway.demand.records(written)
            gateway.log.say({"7m": IntervalControl(interval="7m", enabled=enabled)})
            gateway.log.put(records)  # they were made before he spoke
            assert ("7m" in gateway.made) == enabled
            assert not gateway.wanted.demanded
        assert gateway.look(later) == {SEVEN: None}, "his word is all that is left"
        assert not gateway.wanted.leases
        assert ("7m" in gateway.made) == enabled


def test_a_lease_of_old_is_read_and_prolonged_and_taken_back():
    gateway = Gateway(Log())
    gateway.log.say({"7m": gateway.wanted.prolonged(SEVEN, NOW, NOW + 1)})
    gateway.used.add(SEVEN)
    assert gateway.made == ["1m", "5m", "7m"]
    (prolonged,) = gateway.look(NOW).values()
    assert prolonged.until_ms == NOW + LEASE_MS
    gateway.used.clear()
    assert gateway.look(NOW + LEASE_MS) == {}
    gateway.look(NOW + LEASE_MS + SKEW_MS + 1)
    assert gateway.made == ["1m", "5m"]
    assert not gateway.wanted.controls


def test_beyond_the_bound_it_is_refused_until_there_is_room():
    gateway = Gateway(Log(), most=1)
    assert gateway.ask(SEVEN) is None
    assert gateway.ask(SEVEN) is None
    assert "has to wait" in (gateway.ask(NINE) or "")
    assert set(gateway.look(NOW)) == {SEVEN}
    assert "has to wait" in (gateway.ask(WEEK) or "")
    gateway.used.discard(SEVEN)
    gateway.look(NOW + LEASE_MS + SKEW_MS + 1)
    assert len(gateway.look(NOW + LEASE_MS + SKEW_MS + 2)) == 1
    assert gateway.made == ["1m", "5m", "9m"]


def test_what_is_being_written_counts_for_the_bound():
    gateway = Gateway(Log(), most=1)
    gateway.ask(SEVEN)
    assert set(gateway.demand.changes(NOW)) == {SEVEN}  # and Kafka has yet to acknowledge it
    assert "has to wait" in (gateway.ask(NINE) or "")
    assert set(gateway.look(NOW)) == {SEVEN}
    assert gateway.look(NOW) == {}


def test_what_was_promised_comes_before_what_only_waits():
    gateway = Gateway(Log(), most=1)
    gateway.used.add(SEVEN)  # refused a while ago
    assert gateway.ask(NINE) is None
    assert set(gateway.look(NOW)) == {NINE}


def test_switched_off_nothing_is_asked_for():
    log = Log()
    gateway, other = Gateway(log, most=0), Gateway(log)
    assert "none on demand" in (gateway.ask(SEVEN) or "")
    assert gateway.look(NOW) == {}
    other.ask(NINE)
    other.look(NOW)
    gateway.used.add(NINE)
    other.used.clear()
    assert gateway.look(NOW + LEASE_MS) == {}
    assert gateway.look(NOW + LEASE_MS + 2 * SKEW_MS) == {}, "its own client wants it"


def test_intervals_of_clients_never_push_out_those_of_operators():
    gateway = Gateway(Log(), most=64)
    many = parse_intervals(f"{n}m" for n in range(100, 300))
    refused = [interval for interval in many if gateway.ask(interval)]
    gateway.look(NOW)
    assert len(gateway.made) == INTERVALS_MAX
    assert len(refused) == 200 - (INTERVALS_MAX - 2)
    gateway.log.say({"7m": gateway.wanted.changed(SEVEN, NOW + 9, enabled=True)})
    assert len(gateway.made) == INTERVALS_MAX
    assert "7m" in gateway.made


async def test_what_is_asked_for_is_written_at_once_and_again_when_kafka_was_away(monkeypatch):
    monkeypatch.setattr(demand, "LOOK_S", 0.01)
    gateway = Gateway(Log())
    gateway.log.is_away = True
    running = asyncio.create_task(gateway.demand.run())
    try:
        gateway.ask(SEVEN)
        await asyncio.sleep(0.05)
        assert gateway.made == ["1m", "5m"]
        gateway.log.is_away = False
        async with asyncio.timeout(5):
            while "7m" not in gateway.made:  # noqa: ASYNC110 - it is no event
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
