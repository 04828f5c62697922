"""``orderbook.{depth}``: a snapshot, then deltas whose ``u`` grows by one.

``u`` 1 is a restart of the venue's service and overwrites the book whatever its type says. Depth 1
is sent as snapshots only, and again with the same ``u`` after 3 s of silence.
"""

import itertools
import re

from msgspec import Struct, json

from ingest.exchanges.base import BookRow, Chain
from ingest.exchanges.bybit.fields import Id, Text

DEPTH = 200
RESTARTED = 1
_NUMBER = r"[0-9]{1,19}(?:\.[0-9]{1,18})?"  # what may fit 64 bits
_NUMBERS = re.compile(f"{_NUMBER}(?: {_NUMBER})*")


class _Book(Struct, gc=False):
    s: Text
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: Id


_decode = json.Decoder(_Book).decode


def book(data: bytes, *, stream: str, type_: str, ts: int) -> BookRow:
    """Return the book or its change; raise ValueError naming what is wrong."""
    if type_ not in ("snapshot", "delta"):
        raise ValueError(f"type: {type_!r:.60} is neither snapshot nor delta")
    told = _decode(data)
    _check("b", told.b)
    _check("a", told.a)
    return BookRow(
        symbol=told.s,
        ts=ts,
        is_snapshot=type_ == "snapshot" or told.u == RESTARTED,
        first_id=told.u,
        last_id=told.u,
        prev_id=None,
        bids=told.b,
        asks=told.a,
        stream=stream,
    )


def chain(last_id: int, row: BookRow, is_first: bool) -> Chain:  # noqa: ARG001 - no REST snapshots
    """Place a delta after the last update id of its book."""
    if row.last_id == last_id + 1:
        return Chain.NEXT
    return Chain.OLD if row.last_id <= last_id else Chain.HOLE


def _check(side: str, levels: list[tuple[str, str]]) -> None:
    """One match for all levels: a book of 1,000 levels is read ten times a second."""
    texts = list(itertools.chain.from_iterable(levels))
    together = " ".join(texts)
    if texts and not (_NUMBERS.fullmatch(together) and together.count(" ") == len(texts) - 1):
        wrong = next(t for t in texts if " " in t or not _NUMBERS.fullmatch(t))
        raise ValueError(f"{side}: {wrong!r:.60} is not a decimal number")
