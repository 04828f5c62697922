"""The routes that say and show which intervals are made: ``/api/v1/intervals``.

A wish is a record of ``md.control.v1``: written and acknowledged before it is answered.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field

from runtime.errors import Poison
from schemas.control import IntervalControl, interval_key
from schemas.intervals import BadInterval, Interval, parse_intervals
from schemas.wanted import INTERVALS_MAX, WantedIntervals
from sinks.gateway.answers import ACCEPTED, ERRORS, write_or_refuse
from sinks.gateway.names import NEAR_MAX, NOT_FOUND, UNPROCESSABLE

TEXT_CHARS_MAX = 64
AT_MS_MAX = 10_413_792_000_000 - 1  # the year 2299, where the store's times end

Write = Callable[[Mapping[str, IntervalControl | None]], Awaitable[None]]
AtMs = Annotated[int | None, Query(ge=0, le=AT_MS_MAX, description="Instead of now.")]


class IntervalTable:
    """What is made, kept up to date; ``tell`` is called with it now and after each change."""

    def __init__(
        self, settings: Iterable[Interval], tell: Callable[[WantedIntervals], None]
    ) -> None:
        self.wanted = WantedIntervals(settings)
        self._tell = tell
        tell(self.wanted)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record about an interval; raise Poison."""
        try:
            has_changed = self.wanted.take(key, value)
        except ValueError as e:
            raise Poison(f"no interval: {e}", payload=value or key or b"") from e
        if has_changed:
            self._tell(self.wanted)


class IntervalRef(BaseModel, extra="forbid"):
    """An interval, or a preset that stands for several."""

    interval: str = Field(min_length=1, max_length=TEXT_CHARS_MAX, examples=["1w@mon", "173m"])


class IntervalView(BaseModel):
    """An interval: whether it is made, and its window that runs now."""

    interval: str
    length_ms: int
    anchor: str
    enabled: bool
    source: Literal["control", "settings", "demand"] = Field(
        description="Who wants it so; demand: clients that are subscribed to it."
    )
    open_ms: int
    end_ms: int


class IntervalList(BaseModel):
    """Intervals, shortest first."""

    count: int
    intervals: list[IntervalView]


def build_intervals(table: IntervalTable, write: Write) -> APIRouter:
    """Return the routes over what the table knows."""
    router = APIRouter(prefix="/api/v1/intervals", tags=["intervals"])
    wanted = table.wanted

    @router.get("")
    async def intervals(
        removed: Annotated[bool, Query(description="Also those that are wanted no more.")] = False,
        at_ms: AtMs = None,
    ) -> IntervalList:
        """List the intervals that are made."""
        every = {*wanted.made, *(wanted.removed if removed else ())}
        return _listed(wanted, sorted(every), at_ms)

    @router.post("", responses=ERRORS)
    async def add(ref: IntervalRef, response: Response) -> IntervalView | IntervalList:
        """Make candles of it, also after restarts; 202: that is new, 200: it was so already."""
        named = _named(ref.interval)
        lasting = set(wanted.made) - wanted.demanded.keys()  # those on demand give way
        many = len(lasting.union(named))
        if many > max(INTERVALS_MAX, len(lasting)):
            raise _refusal(f"this would make {many} intervals, {INTERVALS_MAX} are allowed")
        if await _change(wanted, write, named, enabled=True):
            response.status_code = ACCEPTED
        return _answer(wanted, named)

    @router.delete("", responses=ERRORS)
    async def remove(ref: IntervalRef, response: Response) -> IntervalView | IntervalList:
        """Make no more candles of it, whatever the settings say; those made stay stored."""
        named = _named(ref.interval)
        _check_known(wanted, named)
        if set(wanted.made) <= set(named):
            raise _refusal(f"{ref.interval} is all that is made: one interval has to remain")
        if await _change(wanted, write, named, enabled=False):
            response.status_code = ACCEPTED
        return _answer(wanted, named)

    @router.delete("/{interval:path}", responses=ERRORS)
    async def forget(
        interval: Annotated[str, Path(min_length=1, max_length=TEXT_CHARS_MAX)],
    ) -> IntervalView | IntervalList:
        """Take back what was wanted here: the settings decide again."""
        named = _named(interval)
        _check_known(wanted, named)
        said = {interval_key(each) for each in named if each in wanted.controls}
        said.update(key for each in named for key in wanted.demand_keys(each))
        await write_or_refuse(write, dict.fromkeys(said))
        return _answer(wanted, named)

    return router


def _named(text: str) -> tuple[Interval, ...]:
    try:
        return parse_intervals([text])
    except BadInterval as e:
        raise _refusal(str(e)) from e


def _refusal(reason: str, near: Sequence[str] = (), status: int = UNPROCESSABLE) -> HTTPException:
    return HTTPException(status, {"reason": reason, "near": list(near)})


def _check_known(wanted: WantedIntervals, named: Iterable[Interval]) -> None:
    for interval in named:
        if interval not in wanted.made and interval not in wanted.controls:
            made = [each.text for each in wanted.made]
            near = get_close_matches(interval.text, made, NEAR_MAX, 0.5)
            raise _refusal(f"no {interval.text} candles are made here", near, NOT_FOUND)


async def _change(
    wanted: WantedIntervals, write: Write, named: Iterable[Interval], *, enabled: bool
) -> bool:
    now_ms = time.time_ns() // 1_000_000
    changed = {interval_key(i): wanted.changed(i, now_ms, enabled=enabled) for i in named}
    changes = {key: control for key, control in changed.items() if control is not None}
    await write_or_refuse(write, changes)
    return bool(changes)


def _answer(wanted: WantedIntervals, named: Sequence[Interval]) -> IntervalView | IntervalList:
    """Return the interval; of a preset, a list."""
    listed = _listed(wanted, named, None)
    return listed.intervals[0] if listed.count == 1 else listed


def _listed(
    wanted: WantedIntervals, intervals: Sequence[Interval], at_ms: int | None
) -> IntervalList:
    at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    views = [_view(wanted, interval, at_ms) for interval in intervals]
    return IntervalList(count=len(views), intervals=views)


def _view(wanted: WantedIntervals, interval: Interval, at_ms: int) -> IntervalView:
    open_ms, end_ms = interval.window(at_ms)
    return IntervalView(
        interval=interval.text,
        length_ms=interval.length_ms,
        anchor=interval.anchor,
        enabled=interval in wanted.made,
        source=_source(wanted, interval),
        open_ms=open_ms,
        end_ms=end_ms,
    )


def _source(
    wanted: WantedIntervals, interval: Interval
) -> Literal["control", "settings", "demand"]:
    if interval in wanted.demanded:
        return "demand"
    return "control" if interval in wanted.controls else "settings"
