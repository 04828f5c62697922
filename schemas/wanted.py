"""Which intervals are made: those of the settings, as ``md.control.v1`` changes them; pure.

The same records make the same set in every process that has the same settings.
"""

from collections.abc import Iterable

import msgspec

from schemas.control import (
    DEMAND_KEYS,
    INTERVAL_KEYS,
    IntervalControl,
    decode_interval_control,
    demand_key,
    interval_key,
)
from schemas.intervals import Interval, parse_interval

INTERVALS_MAX = 64  # each costs memory of every symbol; those of the settings are never cut off
CONTROLS_MAX = 4_096


class WantedIntervals:
    """``take`` the records whose key ``is_interval_key``; ``made`` is what is to be made."""

    def __init__(self, settings: Iterable[Interval]) -> None:
        self.settings = frozenset(settings)
        self.controls: dict[Interval, IntervalControl] = {}
        """What operators say; of old also what clients want."""
        self.leases: dict[Interval, IntervalControl] = {}
        """What clients want, where no operator says otherwise."""
        self.made: tuple[Interval, ...] = ()
        """Sorted, never empty."""
        self.removed: frozenset[Interval] = frozenset()
        """Those that somebody wants no more."""
        self._count()

    def take(self, key: bytes | None, value: bytes | None) -> bool:
        """Take one record; say whether what is made has changed. Raise ValueError."""
        text = (key or b"").decode()
        is_lease = text.startswith(DEMAND_KEYS)
        interval = parse_interval(text.removeprefix(DEMAND_KEYS if is_lease else INTERVAL_KEYS))
        key_due = demand_key(interval) if is_lease else interval_key(interval)
        if key_due != text:
            raise ValueError(f"its key should be {key_due}")
        table = self.leases if is_lease else self.controls
        if value is None:
            table.pop(interval, None)
        else:
            _put(table, interval, value, is_lease=is_lease)
        before = self.made, self.removed
        self._count()
        return before != (self.made, self.removed)

    def changed(self, interval: Interval, now_ms: int, *, enabled: bool) -> IntervalControl | None:
        """Return the record that says so for good; None where it is said already."""
        known = self.controls.get(interval)
        if known is not None and known.enabled == enabled and not known.until_ms:
            return None
        return IntervalControl(interval=interval.text, enabled=enabled, changed_ms=now_ms)

    @property
    def demanded(self) -> dict[Interval, IntervalControl]:
        """Return what is wanted for a while, because clients of a gateway want it."""
        return {i: control for i, control in self._said().items() if _is_demanded(control)}

    def demand_keys(self, interval: Interval) -> list[str]:
        """Return the keys of the records by which clients want an interval."""
        known = self.controls.get(interval)
        of_old = [interval_key(interval)] if known is not None and _is_demanded(known) else []
        return [demand_key(interval)] * (interval in self.leases) + of_old

    def prolonged(self, interval: Interval, now_ms: int, until_ms: int) -> IntervalControl:
        """Return the record by which it is wanted until then; its turn stays what it was."""
        known = self.demanded.get(interval)
        since_ms = known.changed_ms if known is not None else now_ms
        return IntervalControl(interval=interval.text, changed_ms=since_ms, until_ms=until_ms)

    def _said(self) -> dict[Interval, IntervalControl]:
        lasting = {i: control for i, control in self.controls.items() if not _is_demanded(control)}
        return self.controls | self.leases | lasting

    def _count(self) -> None:
        said = self._said()
        unwanted = {interval for interval, c in said.items() if not c.enabled}
        kept = self.settings - unwanted
        added = sorted(
            (_is_demanded(control), control.changed_ms, interval)
            for interval, control in said.items()
            if control.enabled and interval not in self.settings
        )
        room = max(INTERVALS_MAX - len(kept), 0)  # who came first stays, and for good before others
        made = kept.union(interval for _, _, interval in added[:room]) or self.settings
        self.made = tuple(sorted(made))
        self.removed = frozenset(unwanted - made)


def _put(
    table: dict[Interval, IntervalControl], interval: Interval, value: bytes, *, is_lease: bool
) -> None:
    try:
        control = decode_interval_control(value)
    except msgspec.MsgspecError as e:
        raise ValueError(str(e)) from e
    if control.interval != interval.text:
        raise ValueError(f"it is about {control.interval!r}")
    if is_lease and not _is_demanded(control):
        raise ValueError("what clients want has an end")
    if interval not in table and len(table) >= CONTROLS_MAX:
        raise ValueError(f"more than {CONTROLS_MAX} intervals")
    table[interval] = control


def _is_demanded(control: IntervalControl) -> bool:
    return control.enabled and bool(control.until_ms)
