"""Binance's books: the events that change one, the snapshot over REST, and how they chain.

Spot ids are dense, so ``U`` tells whether something is missing. USD-M ids are not: ``pu`` names the
event before, and the first event after a snapshot is found by its range. Its last id may EQUAL the
snapshot's, which spot's rule would drop, breaking the chain.
"""

from itertools import chain
from typing import Annotated
from urllib.parse import quote

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from ingest.decimals import are_plain
from ingest.exchanges.base import BookRow, BookRule, Chain, Request
from ingest.exchanges.binance.fields import Id, Text, TimeMs, UsdM
from runtime.errors import Poison
from schemas.numbers import INT64_MAX

Levels = list[tuple[str, str]]


class Depth(Struct, tag_field="e", tag="depthUpdate", gc=False):
    """What changed in a book: ``<symbol>@depth``."""

    E: TimeMs
    s: Text
    U: Id
    u: Id
    b: Levels
    a: Levels
    T: TimeMs | None = None
    """Futures only, as ``pu``, the ``u`` of the event before; -1 where there is none."""
    pu: Annotated[int, Meta(ge=-1, le=INT64_MAX)] | None = None
    st: UsdM = 1


class _Snapshot(Struct):
    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: Levels
    asks: Levels
    E: TimeMs | None = None
    T: TimeMs | None = None


_decode_snapshot = Decoder(_Snapshot).decode


def is_partial(frame: bytes) -> bool:
    """Say whether the best levels are told again and again: ``@depth20``, not ``@depth``."""
    return frame.partition(b"@depth")[2][:1].isdigit()


def depth_row(event: Depth) -> BookRow:
    """Return the change; raise ValueError naming the field that makes no sense."""
    if event.u < event.U:
        raise ValueError(f"U: the first id {event.U} is above the last, u {event.u}")
    _check(event.b, event.a)
    ts = event.E if event.T is None else event.T
    return BookRow(event.s, ts, False, event.U, event.u, event.pu, event.b, event.a)


def read_snapshot(body: bytes, symbol: str, recv_ms: int) -> BookRow:
    """Read the body of ``depth``; spot tells no time in it."""
    try:
        book = _decode_snapshot(body)
        _check(book.bids, book.asks)
    except (DecodeError, ValueError, RecursionError) as e:
        raise Poison(f"not a book of Binance: {e}", payload=body) from e
    last, ts = book.lastUpdateId, book.T or book.E or recv_ms
    return BookRow(symbol, ts, True, last, last, None, book.bids, book.asks)


def spot_chain(last_id: int, row: BookRow, is_first: bool) -> Chain:  # noqa: ARG001 - a BookRule's
    """The first event after a snapshot reaches over its id, and the rule for the others says so."""
    if row.last_id <= last_id:
        return Chain.OLD
    return Chain.NEXT if row.first_id <= last_id + 1 else Chain.HOLE


def linear_chain(last_id: int, row: BookRow, is_first: bool) -> Chain:
    """By the event before; the first after a snapshot may also hold the snapshot's id.

    An event that begins inside the book misses nothing: another socket cut the changes elsewhere.
    """
    if row.last_id < last_id or (row.last_id == last_id and not is_first):
        return Chain.OLD
    is_next = row.prev_id is not None and row.prev_id <= last_id
    is_next = is_next or (is_first and row.first_id <= last_id)
    return Chain.NEXT if is_next else Chain.HOLE


SPOT_BOOK = BookRule(
    chain=spot_chain,
    snapshot=lambda symbol: Request(
        path=f"/api/v3/depth?symbol={quote(symbol)}&limit=1000", weight=50
    ),
    read_snapshot=read_snapshot,
)
LINEAR_BOOK = BookRule(
    chain=linear_chain,
    snapshot=lambda symbol: Request(
        path=f"/fapi/v1/depth?symbol={quote(symbol)}&limit=1000", weight=20
    ),
    read_snapshot=read_snapshot,
)


def _check(bids: Levels, asks: Levels) -> None:
    if not are_plain(chain.from_iterable(chain(bids, asks))):
        raise ValueError("a level is not two decimal numbers")
