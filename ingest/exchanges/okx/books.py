"""How OKX's books are kept whole: by seqId since 2023, by checksum before.

A reset for maintenance is an update whose seqId is below its prevSeqId; it continues the chain
like any other. A keep-alive has both the same and no levels.
"""

from collections.abc import Sequence
from zlib import crc32

from ingest.exchanges.base import BookRow, Chain

DEPTH = 400
CHECKSUM_LEVELS = 25


def chain(last_id: int, row: BookRow, _is_first: bool) -> Chain:
    """Place an update; what is not the next or the last one again is a hole.

    An id below the book's own proves nothing: it may follow a reset that was missed.
    """
    if row.prev_id is None or row.prev_id == last_id:
        return Chain.NEXT
    return Chain.OLD if row.last_id == last_id else Chain.HOLE


def checksum(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> int:
    """Return the signed CRC32 of the best 25 levels, a bid and an ask in turns.

    The texts are those received, so it must be taken before quantities become base coins.
    """
    parts: list[str] = []
    for i in range(CHECKSUM_LEVELS):
        if i < len(bids):
            parts += bids[i]
        if i < len(asks):
            parts += asks[i]
    unsigned = crc32(":".join(parts).encode())
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned
