"""Which gap is fetched next, from where, and how much of it at once; pure: time is an argument.

A step is the most urgent work of one lane (REST or the archive): near gaps of a symbol together,
as much as some pages or one day of the archive hold. What is urgent is what the venue's REST
interface will soon no longer give.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ingest.recovery import ranges
from ingest.recovery.capabilities import DAY_MS, Capability
from schemas.recovery import FetchedFrom, Recovery

Wanted = Literal["auto", "rest", "archive"]

STEP_PAGES_MAX = 10  # then progress is written, and others get their turn
NEAR_PAGES = 2.0  # gaps so near that one request serves both
CHEAP_S = 600.0  # of the share's time: more than that is the archive's, where it has it
HORIZON_MARGIN_MS = 60_000  # what is so near to the horizon may be gone when the request arrives
NEVER_MS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One market: its table entry, and what our share of its budget pays."""

    capability: Capability
    has_archive: bool
    pages_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a gap is fetched from next: ``source`` None where nothing can give it."""

    source: FetchedFrom | None
    not_before_ms: int = 0
    deadline_ms: int = NEVER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One piece of work: gaps of one symbol that are fetched together."""

    source: FetchedFrom
    gaps: Sequence[Recovery]
    wanted: Sequence[ranges.Range]
    """Ids, where they can tell; else the times do."""
    from_ms: int
    to_ms: int
    deadline_ms: int


def deadline_ms(gap: Recovery, capability: Capability) -> int:
    """Return when the venue's REST interface stops giving the gap's oldest trade."""
    if capability.is_newest_only:
        return gap.from_ms  # each trade pushes one out
    if capability.rest_depth_ms is None:
        return NEVER_MS
    return gap.from_ms + capability.rest_depth_ms - HORIZON_MARGIN_MS


def archive_ready_ms(gap: Recovery, capability: Capability) -> int:
    """Return when the archive should have the last day of the gap."""
    day_end_ms = gap.to_ms - gap.to_ms % DAY_MS + DAY_MS
    return day_end_ms + (capability.archive_lag_ms or 0)


def choose(gap: Recovery, reach: Reach, now_ms: int, wanted: Wanted = "auto") -> Choice:
    """Return where to fetch a gap from: REST when in reach and cheap, the archive when not.

    Horizons are what documents say, and practice differs: where nothing else is left, REST is
    asked beyond it, too.
    """
    capability = reach.capability
    last_ms = deadline_ms(gap, capability)
    ready_ms = archive_ready_ms(gap, capability)
    by_rest = Choice(source="rest", not_before_ms=gap.next_try_ms, deadline_ms=last_ms)
    by_archive = Choice(
        source="archive", not_before_ms=max(gap.next_try_ms, ready_ms), deadline_ms=ready_ms
    )
    has_rest = capability.rest is not None and "rest" not in gap.exhausted
    archive = wanted != "rest" and reach.has_archive and "archive" not in gap.exhausted
    if wanted == "archive" or not has_rest:
        return by_archive if archive else Choice(source=None)
    if not archive:
        return by_rest
    in_time = now_ms <= last_ms or capability.is_newest_only
    is_better = last_ms < ready_ms or _rest_s(gap, reach) <= CHEAP_S
    return by_rest if in_time and is_better else by_archive


def _rest_s(gap: Recovery, reach: Reach) -> float:
    """Return how long REST takes; 0 by time, where the pages are not known before."""
    return ranges.count(gap.left) / reach.capability.page_rows / reach.pages_per_s


def next_step(
    gaps: Iterable[Recovery],
    reach_of: Callable[[Recovery], Reach],
    lane: FetchedFrom,
    now_ms: int,
) -> Step | None:
    """Return the most urgent step of a lane that may begin now."""
    due: list[tuple[int, int, Recovery]] = []
    for gap in gaps:
        choice = choose(gap, reach_of(gap), now_ms)
        if choice.source == lane and choice.not_before_ms <= now_ms:
            due.append((choice.deadline_ms, gap.from_ms, gap))
    if not due:
        return None
    first = min(due, key=lambda found: (found[0], found[1], found[2].key))
    together = [gap for _, _, gap in due if _same_symbol(gap, first[2])]
    reach = reach_of(first[2])
    if lane == "archive":
        return _archive_step(first[2], together, first[0])
    return _rest_step(first[2], together, reach.capability, first[0])


def when_next_ms(
    gaps: Iterable[Recovery], reach_of: Callable[[Recovery], Reach], now_ms: int
) -> int:
    """Return when the next step of any lane may begin."""
    return min((choose(gap, reach_of(gap), now_ms).not_before_ms for gap in gaps), default=NEVER_MS)


def _same_symbol(one: Recovery, other: Recovery) -> bool:
    return (one.channel, one.symbol) == (other.channel, other.symbol)


def pending(gap: Recovery) -> list[ranges.Range]:
    """Return the missing ids that the present source was not asked for."""
    return ranges.without(gap.left, 0, gap.done_until_id)


def _rest_step(
    first: Recovery, together: Sequence[Recovery], capability: Capability, deadline: int
) -> Step:
    if first.is_by_time:
        is_one_page = capability.is_newest_only  # which serves every gap of the symbol
        gaps = [gap for gap in together if gap.is_by_time] if is_one_page else [first]
        return _step("rest", gaps, (), deadline)
    near = int(capability.page_rows * NEAR_PAGES)
    gaps = _near([gap for gap in together if not gap.is_by_time], first, near)
    left = ranges.merged(found for gap in gaps for found in pending(gap))
    return _step("rest", gaps, _first_ids(left, STEP_PAGES_MAX * capability.page_rows), deadline)


def _step(
    source: FetchedFrom, gaps: Sequence[Recovery], wanted: Sequence[ranges.Range], deadline: int
) -> Step:
    return Step(
        source=source,
        gaps=gaps,
        wanted=wanted,
        from_ms=min(gap.from_ms for gap in gaps),
        to_ms=max(gap.to_ms for gap in gaps),
        deadline_ms=deadline,
    )


def _near(gaps: Sequence[Recovery], first: Recovery, apart_max: int) -> list[Recovery]:
    """Return the gaps that hang together with the first one."""
    blocks = ranges.merged([(gap.first_id, gap.last_id) for gap in gaps], apart_max)
    block = next(b for b in blocks if ranges.holds([b], first.first_id, first.last_id))
    return [gap for gap in gaps if ranges.holds([block], gap.first_id, gap.last_id)]


def _first_ids(left: Sequence[ranges.Range], ids_max: int) -> list[ranges.Range]:
    taken: list[ranges.Range] = []
    for first, last in left:
        if ids_max <= 0:
            break
        taken.append((first, min(last, first + ids_max - 1)))
        ids_max -= last - first + 1
    return taken


def _archive_step(first: Recovery, together: Sequence[Recovery], deadline: int) -> Step:
    """Return one UTC day, with every gap of the symbol that lies in it."""
    day_ms = _at_ms(first) - _at_ms(first) % DAY_MS
    end_ms = day_ms + DAY_MS
    gaps = [
        gap
        for gap in together
        if gap.is_by_time == first.is_by_time and day_ms <= _at_ms(gap) < end_ms
    ]
    return Step(
        source="archive",
        gaps=gaps,
        wanted=ranges.merged(found for gap in gaps for found in gap.left),
        from_ms=day_ms,
        to_ms=end_ms - 1,
        deadline_ms=deadline,
    )


def _at_ms(gap: Recovery) -> int:
    return max(gap.from_ms, gap.done_until_ms)


def after_step(
    gap: Recovery,
    step: Step,
    given: Sequence[ranges.Range],
    *,
    trades: int = 0,
    rev: int = -1,
    lost: str = "",
) -> Recovery:
    """Return a gap after a step that was asked to its end; ``given`` ids are published.

    What the source was asked for and did not give (``lost`` says of what) is not asked for there
    again; once all was asked, the source is exhausted, and the next begins at the beginning.
    """
    left = ranges.without_all(gap.left, given)
    lost_days = [*gap.lost_days, lost] if lost else gap.lost_days
    until_id = max(gap.done_until_id, step.wanted[-1][1]) if step.wanted else gap.done_until_id
    until_ms = max(gap.done_until_ms, step.to_ms + 1)
    by_days = gap.is_by_time or step.source == "archive"
    is_asked = until_ms > gap.to_ms if by_days else not ranges.without(left, 0, until_id)
    is_whole = (is_asked and not lost_days) if gap.is_by_time else not left
    changed = msgspec.structs.replace(
        gap,
        left=left,
        state="recovered" if is_whole else "open",
        done_until_id=0 if by_days else until_id,
        done_until_ms=until_ms if by_days else 0,
        lost_days=lost_days,
        tries=0,
        next_try_ms=0,
        trades=gap.trades + trades,
        rev=max(gap.rev, rev),
    )
    return exhausted(changed, step.source) if is_asked and not is_whole else changed


def exhausted(gap: Recovery, source: FetchedFrom, reason: str = "") -> Recovery:
    """Return a gap that this source cannot give."""
    return msgspec.structs.replace(
        gap,
        exhausted=[*gap.exhausted, source],
        done_until_id=0,
        done_until_ms=0,
        lost_days=[],
        tries=0,
        next_try_ms=0,
        reason=reason or gap.reason,
    )


def day_source(
    day: Recovery, reach: Reach, has_archive: bool, now_ms: int, wanted: Wanted
) -> FetchedFrom | None:
    """Return where a whole day of a backfill comes from: its file, once it should be there."""
    table = reach.capability
    archive = has_archive and wanted != "rest" and "archive" not in day.exhausted
    rest = table.rest is not None and wanted != "archive" and "rest" not in day.exhausted
    if archive and (wanted == "archive" or archive_ready_ms(day, table) <= now_ms):
        return "archive"
    if rest and (table.is_newest_only or now_ms <= deadline_ms(day, table)):
        return "rest"
    if archive:
        return "archive"
    return "rest" if rest else None  # beyond what documents promise
