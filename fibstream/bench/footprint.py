"""What a process and its children have used so far, as Linux counts it.

Read from outside: asking a worker for its own metrics costs it milliseconds each time.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Footprint(NamedTuple):
    """CPU of user and system, and the most memory that was resident, of all processes together."""

    cpu_s: float
    peak_rss_mb: float


def footprint(pid: int) -> Footprint:
    """Return what a process and those below it used; a process that is gone used nothing."""
    found = [_one(each) for each in _family(pid)]
    return Footprint(sum(f.cpu_s for f in found), sum(f.peak_rss_mb for f in found))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue  # a thread that ended meanwhile
        for child in children:
            yield from _family(int(child))


def _one(pid: int) -> Footprint:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Footprint(0.0, 0.0)
    # The name in brackets may hold anything: the fields are counted from behind it.
    user, system = stat.rpartition(")")[2].split()[11:13]
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
    return Footprint((int(user) + int(system)) / TICKS_PER_S, int(peak.split()[1]) / 1_024)
