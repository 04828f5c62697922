"""What is open, silent or behind just now: tables that are judged by the clock."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas.alerts import GapOpen, StreamSilent
from schemas.control import ALIVE, StreamStatus
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.streams import StreamKey
from sinks.alerts.matching import matches
from sinks.alerts.triggers import Judgement

RANGES_MAX = 256  # open gaps of one symbol; of more the youngest are left out
OPEN = ("found", "recovering")

Market = tuple[str, str, str]
Judged = Iterator[tuple[str, Judgement]]
"""Subjects, and what the clock says of each."""


class Range(NamedTuple):
    """Ids, both inclusive, that are missing, and since when that is known."""

    first: int
    last: int
    since_ms: int


class OpenGaps:
    """The open gaps of every symbol."""

    def __init__(self) -> None:
        self._ranges: dict[Market, list[Range]] = {}
        self._streams: dict[Market, dict[str, int]] = {}  # by kind: since when

    def take(self, envelope: GapEnvelope | StreamGapEnvelope, at_ms: int) -> None:
        """Learn what a record of ``md.gaps.v1`` tells that was written at ``at_ms``."""
        for row in envelope.data:
            market = (envelope.exchange, envelope.channel, row.symbol or "*")
            if isinstance(row, StreamGap):
                self._take_stream(market, row, at_ms)
            else:
                self._take_ids(market, row, at_ms)

    def _take_ids(self, market: Market, gap: Gap, at_ms: int) -> None:
        kept, since_ms = [], at_ms
        for each in self._ranges.pop(market, []):
            if each.first <= gap.last_id and each.last >= gap.first_id:
                since_ms = min(since_ms, each.since_ms)
            if each.first < gap.first_id:
                kept.append(each._replace(last=min(each.last, gap.first_id - 1)))
            if each.last > gap.last_id:
                kept.append(each._replace(first=max(each.first, gap.last_id + 1)))
        if gap.state in OPEN:
            kept.append(Range(gap.first_id, gap.last_id, since_ms))
        if kept:
            self._ranges[market] = sorted(kept, key=lambda each: each.since_ms)[:RANGES_MAX]

    def _take_stream(self, market: Market, gap: StreamGap, at_ms: int) -> None:
        streams = self._streams.setdefault(market, {})
        if gap.state == "found":
            streams.setdefault(gap.kind, at_ms)
        else:
            streams.pop(gap.kind, None)
        if not streams:
            del self._streams[market]

    def judged(self, rule: GapOpen, now_ms: int) -> Judged:
        """Yield every symbol that has a gap, and whether one is open for too long."""
        for market in self._ranges.keys() | self._streams.keys():
            if matches(rule, market):
                ranges, streams = self._ranges.get(market, []), self._streams.get(market, {})
                ages_ms = [now_ms - each.since_ms for each in ranges]
                ages_ms += [now_ms - since_ms for since_ms in streams.values()]
                yield ":".join(market), _gap(rule, ages_ms, sorted(streams))


def _gap(rule: GapOpen, ages_ms: list[int], streams: list[str]) -> Judgement:
    oldest_ms = max(ages_ms)
    over = oldest_ms >= rule.longer_s * 1_000
    of = f" of {', '.join(streams)}" if streams else ""
    return Judgement(
        "open",
        over,
        not over,
        lambda: f"{len(ages_ms)} gap(s){of} open, the oldest for {oldest_ms // 1_000} s",
    )


class Streams:
    """What became of each stream, and when each ingestor told last that it lives."""

    def __init__(self) -> None:
        self._statuses: dict[StreamKey, StreamStatus] = {}

    def take(self, key: StreamKey, status: StreamStatus | None) -> None:
        """Learn what a record of ``md.streams.v1`` tells."""
        if status is None:
            self._statuses.pop(key, None)
        else:
            self._statuses[key] = status

    def judged(self, rule: StreamSilent, now_ms: int) -> Judged:
        """Yield every stream that shall run, and whether it is silent for too long."""
        alive_ms: dict[tuple[str, str], int] = {}
        for key, status in self._statuses.items():
            if key.symbol.startswith(ALIVE):
                beat_ms = status.since_ms if status.state != "stopped" else now_ms
                alive_ms[key[:2]] = max(alive_ms.get(key[:2], 0), beat_ms)
        for key, status in self._statuses.items():
            if status.state == "stopped" or not matches(rule, key[:3]):
                continue
            if key.symbol.startswith(ALIVE):
                if rule.kind == "*":
                    yield str(key), _silent(rule, now_ms - status.since_ms, "its ingestor is dead")
            elif rule.kind in ("*", key.kind):
                dead_ms = now_ms - alive_ms.get(key[:2], now_ms)
                if dead_ms >= rule.longer_s * 1_000:
                    yield str(key), _silent(rule, dead_ms, "its ingestor is dead")
                else:
                    quiet_ms = 0 if status.state == "live" else now_ms - status.since_ms
                    yield str(key), _silent(rule, quiet_ms, f"it is {status.state}")


def _silent(rule: StreamSilent, silent_ms: int, why: str) -> Judgement:
    over = silent_ms >= rule.longer_s * 1_000
    return Judgement("silent", over, not over, lambda: f"{why}, for {silent_ms // 1_000} s")
