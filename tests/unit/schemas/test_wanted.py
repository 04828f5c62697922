"""What is made is a function of the settings and the records, and never nothing."""

import itertools

import msgspec
import pytest

from schemas.control import IntervalControl, demand_key, interval_key, is_interval_key
from schemas.intervals import MINUTE_MS, Interval, parse_interval, parse_intervals
from schemas.wanted import CONTROLS_MAX, INTERVALS_MAX, WantedIntervals

SETTINGS = parse_intervals(["1m", "5m", "1h"])


def said(text: str, *, enabled: bool = True, changed_ms: int = 1) -> tuple[bytes, bytes]:
    interval = parse_interval(text)
    control = IntervalControl(interval=interval.text, enabled=enabled, changed_ms=changed_ms)
    return interval_key(interval).encode(), msgspec.json.encode(control)


def made(*records: tuple[bytes, bytes | None], settings=SETTINGS) -> list[str]:
    wanted = WantedIntervals(settings)
    for record in records:
        wanted.take(*record)
    return [interval.text for interval in wanted.made]


def test_without_a_record_it_is_what_the_settings_say() -> None:
    assert made() == ["1m", "5m", "1h"]


def test_added_ones_come_and_removed_ones_go() -> None:
    added, removed = said("1w@mon"), said("5m", enabled=False)
    assert made(added, removed) == ["1m", "1h", "1w@mon"]
    assert made(added, said("1w@mon", enabled=False)) == ["1m", "5m", "1h"]


def test_a_tombstone_means_as_the_settings_say() -> None:
    for text, enabled in (("5m", False), ("1w@mon", True), ("5m", True)):
        record = said(text, enabled=enabled)
        assert made(record, (record[0], None)) == ["1m", "5m", "1h"]


def test_only_what_changes_what_is_made_is_news() -> None:
    wanted = WantedIntervals(SETTINGS)
    assert wanted.take(*said("7m"))
    assert not wanted.take(*said("7m", changed_ms=9))
    assert not wanted.take(*said("5m"))
    assert wanted.take(*said("5m", enabled=False))
    assert wanted.removed == {Interval(5 * MINUTE_MS)}


def test_the_order_of_the_records_of_different_keys_does_not_matter() -> None:
    records = [said("7m", changed_ms=2), said("9m", changed_ms=1), said("1h", enabled=False)]
    assert len({tuple(made(*some)) for some in itertools.permutations(records)}) == 1


def test_one_remains_where_all_are_removed() -> None:
    removed = [said(interval.text, enabled=False) for interval in SETTINGS]
    assert made(*removed) == ["1m", "5m", "1h"]
    assert made(*removed, said("7m")) == ["7m"]


def test_beyond_the_limit_who_came_first_stays_and_the_settings_are_never_cut() -> None:
    records = [said(f"{n}m", changed_ms=n) for n in range(7, 7 + INTERVALS_MAX)]
    found = made(*reversed(records))
    assert len(found) == INTERVALS_MAX
    assert {"1m", "5m", "1h", "7m"} <= set(found)
    assert f"{6 + INTERVALS_MAX}m" not in found
    many = parse_intervals(f"{n}m" for n in range(1, 101))
    assert len(made(said("1w"), settings=many)) == 100


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"interval:60m", said("1h")[1], "interval:1h"),
        (b"interval:1h", said("5m")[1], "about '5m'"),
        (b"interval:7x", said("5m")[1], "not an interval"),
        (b"interval:1h", b"{", "truncated"),
        (b"interval:1h", b'{"data_type":"stream","interval":"1h"}', "data_type"),
        (b"interval:\xff", None, "utf-8"),
    ],
)
def test_a_record_that_cannot_be_obeyed_is_refused_and_changes_nothing(key, value, reason) -> None:
    wanted = WantedIntervals(SETTINGS)
    with pytest.raises(ValueError, match=reason):
        wanted.take(key, value)
    assert wanted.made == SETTINGS


def test_records_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr("schemas.wanted.CONTROLS_MAX", 2)
    assert CONTROLS_MAX >= 10 * INTERVALS_MAX
    wanted = WantedIntervals(SETTINGS)
    for text in ("7m", "9m", "7m"):
        wanted.take(*said(text, enabled=False))
    with pytest.raises(ValueError, match="more than 2"):
        wanted.take(*said("11m"))


def leased(text: str, *, until_ms: int = 9) -> tuple[bytes, bytes]:
    control = IntervalControl(interval=text, changed_ms=1, until_ms=until_ms)
    return demand_key(parse_interval(text)).encode(), msgspec.json.encode(control)


def test_what_clients_want_and_what_an_operator_says_stand_side_by_side() -> None:
    lease, added, removed = leased("7m"), said("7m"), said("7m", enabled=False)
    assert made(lease) == ["1m", "5m", "7m", "1h"]
    for order in ([lease, removed], [removed, lease]):
        assert made(*order) == ["1m", "5m", "1h"]
        assert made(*order, (removed[0], None)) == ["1m", "5m", "7m", "1h"]
    for order in ([lease, added], [added, lease]):
        assert made(*order, (lease[0], None)) == ["1m", "5m", "7m", "1h"]
    wanted = WantedIntervals(SETTINGS)
    with pytest.raises(ValueError, match="has an end"):
        wanted.take(*leased("7m", until_ms=0))


def test_a_wish_that_stands_already_needs_no_record() -> None:
    wanted = WantedIntervals(SETTINGS)
    week = parse_interval("1w@mon")
    assert wanted.changed(week, 5, enabled=True) == IntervalControl(
        interval="1w@mon", enabled=True, changed_ms=5
    )
    wanted.take(*said("1w@mon"))
    assert wanted.changed(week, 6, enabled=True) is None
    assert wanted.changed(week, 6, enabled=False) is not None


def test_keys_tell_intervals_from_streams() -> None:
    assert is_interval_key(b"interval:1m")
    assert is_interval_key(b"interval-demand:1m")
    assert not is_interval_key(b"binance:linear:BTCUSDT:trades:ws")
    assert not is_interval_key(None)
