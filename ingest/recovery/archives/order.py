"""What a file tells, put in order: old files run backwards, some repeat or interleave rows.

Disorder is mended within a window, so memory is bounded; a row that comes later than that is given
late, which readers of trades know how to take. A duplicate is dropped however late it comes.
"""

import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingest.recovery.archives.columns import Columns, Ints, joined

WINDOW_ROWS = 200_000  # about 20 MB
SPANS_MAX = 10_000
"""Runs of ids remembered; beyond it the oldest are forgotten, and readers know ids themselves."""
UIDS_REMEMBERED = 200_000
PLACES_MAX = 100_000
"""Trades of one millisecond."""


def forwards(
    batches: Iterator[pa.RecordBatch], stamp: str, folder: Path
) -> Iterator[pa.RecordBatch]:
    """Yield batches oldest first, through a file where they run backwards by ``stamp``."""
    first = next(batches, None)
    if first is None:
        return
    both = chain([first], batches)
    if not _runs_backwards(first.column(stamp)):
        yield from both
        return
    with tempfile.TemporaryFile(dir=folder) as spool:
        with pa.ipc.new_file(spool, first.schema) as out:
            for batch in both:
                out.write_batch(batch)
        spool.seek(0)
        told = pa.ipc.open_file(spool)
        for at in reversed(range(told.num_record_batches)):
            batch = told.get_batch(at)
            yield batch.take(pa.array(np.arange(len(batch) - 1, -1, -1)))


def _runs_backwards(stamps: pa.Array) -> bool:
    numbers = stamps.to_numpy(zero_copy_only=False)
    if not len(numbers):
        return False
    steps = np.sign(np.diff(numbers.astype(np.float64)))  # of its direction only
    return float(numbers[0]) > float(numbers[-1]) and int(steps.sum()) < 0


def in_order(batches: Iterator[Columns], *, by_id: bool) -> Iterator[Columns]:
    """Yield the rows by id (or by time), in batches that follow one another where they can."""
    held: Columns | None = None
    for raw in batches:
        if not len(raw):
            continue
        batch = _sorted(raw, by_id=by_id)
        if held is None:
            held = batch
        elif _key(batch, by_id=by_id)[0] >= _key(held, by_id=by_id)[-1]:
            yield held
            held = batch
        else:
            held = _sorted(joined(held, batch), by_id=by_id)
            if len(held) > WINDOW_ROWS:
                yield held.taken(slice(0, len(held) - WINDOW_ROWS // 2))
                held = held.taken(slice(len(held) - WINDOW_ROWS // 2, None))
    if held is not None:
        yield held


def _key(columns: Columns, *, by_id: bool) -> Ints:
    return columns.id if by_id else columns.ts


def _sorted(columns: Columns, *, by_id: bool) -> Columns:
    key = _key(columns, by_id=by_id)
    if (key[1:] >= key[:-1]).all():
        return columns
    return columns.taken(np.argsort(key, kind="stable"))


class Spans:
    """Ids that were given, as runs without holes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # the last id in each

    def fresh(self, columns: Columns) -> Columns:
        """Return the rows, sorted by id, whose ids were not given before; they are now."""
        ids = columns.id
        new = np.ones(len(ids), np.bool_)
        new[1:] = ids[1:] != ids[:-1]
        if self._ends and ids[0] <= self._ends[-1]:
            new &= ~self._has(ids)
        kept = columns.kept(new)
        self._add(kept.id)
        return kept

    def _has(self, ids: Ints) -> npt.NDArray[np.bool_]:
        at = np.searchsorted(np.array(self._starts, np.int64), ids, side="right") - 1
        ends = np.array(self._ends, np.int64)
        found: npt.NDArray[np.bool_] = (at >= 0) & (ids <= ends[np.maximum(at, 0)])
        return found

    def _add(self, ids: Ints) -> None:
        if not len(ids):
            return
        breaks = np.flatnonzero(np.diff(ids) != 1)
        starts = ids[np.concatenate([[0], breaks + 1])].tolist()
        ends = ids[np.concatenate([breaks, [len(ids) - 1]])].tolist()
        for start, end in zip(starts, ends, strict=True):
            self._insert(start, end)
        surplus = len(self._starts) - SPANS_MAX
        if surplus > 0:
            del self._starts[:surplus], self._ends[:surplus]

    def _insert(self, start: int, end: int) -> None:
        at = bisect_right(self._starts, start)
        if at and self._ends[at - 1] == start - 1:
            at -= 1
            self._ends[at] = end
        else:
            self._starts.insert(at, start)
            self._ends.insert(at, end)
        if at + 1 < len(self._starts) and self._starts[at + 1] == end + 1:
            self._ends[at] = self._ends.pop(at + 1)
            del self._starts[at + 1]


class Uids:
    """Text ids that were given lately.

    A trade told twice has one time, so batches that follow one another need no look back.
    """

    def __init__(self) -> None:
        self._given: deque[Sequence[str]] = deque()
        self._rows = 0
        self._last_ms = -1

    def fresh(self, columns: Columns) -> Columns:
        """Return the rows, sorted by time, whose texts were not given lately; they are now."""
        uids = columns.uid or ()
        new = set(uids)
        first_ms = int(columns.ts[0])
        looked_at = list(self._given) if first_ms < self._last_ms else []
        if first_ms == self._last_ms:
            looked_at = [self._given[-1]]
        is_new = len(new) == len(uids) and all(new.isdisjoint(part) for part in looked_at)
        kept = columns if is_new else columns.kept(_unseen(uids, looked_at))
        self._remember(kept)
        return kept

    def _remember(self, kept: Columns) -> None:
        if not len(kept):
            return
        self._last_ms = max(self._last_ms, int(kept.ts[-1]))
        self._given.append(kept.uid or ())
        self._rows += len(kept)
        while self._rows > UIDS_REMEMBERED and len(self._given) > 1:
            self._rows -= len(self._given.popleft())


def _unseen(uids: Sequence[str], given: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    seen = set(chain.from_iterable(given))
    mask = []
    for uid in uids:
        mask.append(uid not in seen)
        seen.add(uid)
    return np.array(mask, np.bool_)


class Places:
    """Numbers for rows that have none: time and place among those of one millisecond.

    A monthly and a daily file so give one trade one number.
    """

    def __init__(self) -> None:
        self._ts = -1
        self._next = 0  # place in that millisecond

    def fresh(self, columns: Columns) -> Columns:
        """Number the rows, sorted by time; none can be known as a duplicate."""
        ts = columns.ts
        if not len(ts):
            return columns
        places = np.arange(len(ts))
        starts = np.concatenate([[0], np.flatnonzero(np.diff(ts)) + 1])
        place = places - np.repeat(starts, np.diff([*starts.tolist(), len(ts)]))
        if int(ts[0]) == self._ts:
            place[ts == ts[0]] += self._next
        self._ts, self._next = int(ts[-1]), int(place[-1]) + 1
        id_ = ts * PLACES_MAX + place
        columns.id = columns.first = columns.last = id_
        return columns
