"""The recent ids of a symbol whose venue promises only that they differ: a guard, and no proof.

Ids are remembered for 60 s of trade time, and the last 1,024 of a symbol whatever their age; a
repeat of anything older counts again. Records that are read again after a crash need no guard: they
are known by their offsets. What is remembered depends on the trades alone, never on checkpoints.

In the changelog the ids are cut into chunks with records of their own, written once: a state that
listed the ids of a minute would be written every second.
"""

import struct
from collections import deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from processors.engine.bars import ASSUMED, BEGAN_INSIDE, Claim
from schemas.trades import SymbolTrades

KEPT_MS = 60_000
# The longest list of past trades that a venue sends again (Bybit's REST: 1,000).
KEPT_MIN = 1_024
KEPT_MAX = 50_000  # ~120 bytes each: 6 MB for a symbol of more than 800 trades/s
CHUNK_IDS = 64  # of one changelog record: 520 bytes


def keys_of(group: SymbolTrades) -> Sequence[int]:
    """Return 64 bits that tell each trade apart: the id, or the hash of a textual one."""
    if group.uid is None:
        return group.id
    # Built-in hashes of text differ from process to process, and these outlive one.
    return [
        int.from_bytes(blake2b(uid.encode(), digest_size=8).digest(), "little", signed=True)
        for uid in group.uid
    ]


class _Chunk:
    """Ids that are forgotten together; ``last_ms`` is the time of the youngest."""

    __slots__ = ("ids", "last_ms", "slot", "written")

    def __init__(self, slot: int) -> None:
        self.ids: list[int] = []
        self.last_ms = 0
        self.slot = slot
        self.written = 0  # ids of it in the changelog


class RecentIds:
    """The ids of one symbol. ``first_ms`` is the time of the trade that came first."""

    __slots__ = ("_chunks", "_freed", "_leaving", "_seen", "first_ms", "last_ms")

    def __init__(self) -> None:
        self.first_ms = -1  # nothing has come
        self.last_ms = 0
        self._seen: set[int] = set()
        self._chunks: deque[_Chunk] = deque()
        self._freed: list[int] = []  # slots that no written state lists
        self._leaving: list[int] = []  # slots that only the last written state lists

    def __len__(self) -> int:
        return len(self._seen)

    def admit_all(self, keys: Sequence[int], times: Sequence[int]) -> bool:
        """Take the ids of many trades, and say so, unless one of them was seen."""
        seen = self._seen
        if not seen.isdisjoint(keys) or (len(keys) > 1 and len(set(keys)) != len(keys)):
            return False
        if self.first_ms < 0:
            self.first_ms = times[0]
        seen.update(keys)
        at = 0
        while at < len(keys):
            chunk = self._open_chunk()
            stop = at + CHUNK_IDS - len(chunk.ids)
            chunk.ids += keys[at:stop]
            chunk.last_ms = max(chunk.last_ms, *times[at:stop])
            self.last_ms = max(self.last_ms, chunk.last_ms)
            at = stop
        return True

    def claim(self, open_ms: int) -> Claim:
        """Return what can be said of a window: never that it is whole."""
        return BEGAN_INSIDE if open_ms <= self.first_ms else ASSUMED

    def _open_chunk(self) -> _Chunk:
        chunks = self._chunks
        if chunks and len(chunks[-1].ids) < CHUNK_IDS:
            return chunks[-1]
        self._forget()
        slot = self._freed.pop() if self._freed else len(chunks) + len(self._leaving)
        chunks.append(_Chunk(slot))
        return chunks[-1]

    def _forget(self) -> None:
        chunks, seen = self._chunks, self._seen
        while chunks:
            oldest, rest = chunks[0], len(seen) - len(chunks[0].ids)
            is_due = rest >= KEPT_MIN and oldest.last_ms < self.last_ms - KEPT_MS
            if not is_due and len(seen) < KEPT_MAX:
                return
            seen.difference_update(oldest.ids)
            self._leaving.append(oldest.slot)
            chunks.popleft()

    # -- the changelog

    def take_records(self) -> list[tuple[int, bytes]]:
        """Return (slot, record) of every chunk that has grown since the last call.

        They are to be written before the state, and both before the next call: only then may the
        slots of forgotten chunks be used again. A chunk only ever grows, and the state says how
        far, so a state also fits the records of a later one that was never finished.
        """
        self._freed += self._leaving
        self._leaving.clear()
        records = []
        for chunk in reversed(self._chunks):
            if chunk.written == len(chunk.ids):
                break
            chunk.written = len(chunk.ids)
            values = (chunk.last_ms, *chunk.ids)
            records.append((chunk.slot, struct.pack(f"<{len(values)}q", *values)))
        return records

    def dump(self) -> dict[str, Any]:
        """Return what the state of the symbol keeps of them."""
        newest = self._chunks[-1] if self._chunks else None
        return {
            "times": [self.first_ms, self.last_ms],
            "slots": [chunk.slot for chunk in self._chunks],
            "newest": [len(newest.ids), newest.last_ms] if newest else [0, 0],
        }

    @classmethod
    def load(cls, state: Mapping[str, Any], records: Mapping[int, bytes]) -> "RecentIds":
        """Return the ids that were kept; KeyError, TypeError or ValueError if it cannot be read."""
        found = cls()
        found.first_ms, found.last_ms = state["times"]
        slots = state["slots"]
        for slot in slots:
            record = records[slot]
            if len(record) % 8:
                raise ValueError(f"slot {slot} is no list of 64-bit numbers")
            chunk = _Chunk(slot)
            chunk.last_ms, *chunk.ids = struct.unpack(f"<{len(record) // 8}q", record)
            found._chunks.append(chunk)
        if slots:
            newest = found._chunks[-1]
            count, newest.last_ms = state["newest"]
            del newest.ids[count:]
        for chunk in found._chunks:
            chunk.written = len(chunk.ids)
            found._seen.update(chunk.ids)
        found._freed = sorted(set(range(max(slots, default=-1))) - set(slots), reverse=True)
        return found
