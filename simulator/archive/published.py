"""What a venue publishes at a path: whose trades of which time, in which words and packing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from simulator.past import Ints, Stretch
from simulator.symbols import Symbol

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One file; a day's is out so many hours after its end, a month's a day later."""

    symbol: Symbol
    name: str
    """``2024-01-31`` or ``2024-01``."""
    from_ms: int
    until_ms: int
    member: str
    """The name of the csv inside."""
    packing: Literal["zip", "gzip"]
    table: Callable[[Stretch, int], pa.Table]
    """Columns as text, of rows before which so many are in the file, in the venue's order."""
    header: bool
    """Whether files of this venue and time have one."""
    is_aggregated: bool = False
    """Rows are aggregates where the truth's rows are single trades."""
    is_checksum: bool = False
    """Not the file, but what is published of its sha256."""
    is_monthly: bool = False


def span(name: str, zone_h: int = 0) -> tuple[int, int] | None:
    """Return the times of a day or a month by its name; None where it is none."""
    parts = name.split("-")
    try:
        first = date.fromisoformat(name if len(parts) == 3 else f"{name}-01")
    except ValueError:
        return None
    after = first + timedelta(days=1)
    if len(parts) == 2:
        after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return _ms(first) - zone_h * 3_600_000, _ms(after) - zone_h * 3_600_000


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def number(units: Ints, scale: int, *, least: int = 0, trims: bool = False) -> pa.Array:
    """Return fixed-point integers as decimal text, with at least so many decimals, or trimmed."""
    if scale < least:
        units, scale = units * 10 ** (least - scale), least
    whole = pa.array(units // 10**scale).cast(pa.string())
    if not scale:
        return whole
    rest = pc.utf8_lpad(pa.array(units % 10**scale).cast(pa.string()), scale, "0")
    text = pc.binary_join_element_wise(whole, rest, ".")
    return pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".") if trims else text


def words(which: npt.NDArray[np.bool_], yes: str, no: str) -> pa.Array:
    """Return one word where it is true and the other where not."""
    return pc.if_else(pa.array(which), yes, no)


def always(word: str, count: int) -> pa.Array:
    """Return one word for every row."""
    return pa.repeat(word, count)
