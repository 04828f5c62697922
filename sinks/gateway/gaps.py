"""What is missing of each symbol just now, as ``md.gaps.v1`` tells it: no I/O.

A gap may be told whole and mended in parts, so ranges are kept, and what is told of a part cuts it.
"""

from typing import NamedTuple

import msgspec

from runtime.errors import Poison
from schemas.klines import Gap, StreamGap, decode_gaps
from sinks.gateway.protocol import DataStatus

MARKET_RANGES_MAX = 256  # open ranges of one symbol; of more the oldest are forgotten
OPEN = ("found", "recovering")

Market = tuple[str, str, str]
WHOLE = DataStatus()


class Range(NamedTuple):
    """Ids, both inclusive, that are missing."""

    first: int
    last: int
    is_recovering: bool


class Missing:
    """The open gaps of one symbol."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self._streams: set[int] = set()  # when they fell silent

    @property
    def status(self) -> DataStatus:
        """Return what clients are told of it."""
        if not self._ranges and not self._streams:
            return WHOLE
        return DataStatus(
            gap_recovery=any(each.is_recovering for each in self._ranges), data_quality="gap"
        )

    def take(self, gap: Gap) -> None:
        """Learn what became of a range of ids."""
        kept = []
        for each in self._ranges:
            if each.first < gap.first_id:
                kept.append(each._replace(last=min(each.last, gap.first_id - 1)))
            if each.last > gap.last_id:
                kept.append(each._replace(first=max(each.first, gap.last_id + 1)))
        if gap.state in OPEN:
            kept.append(Range(gap.first_id, gap.last_id, gap.state == "recovering"))
        self._ranges = kept[-MARKET_RANGES_MAX:]

    def take_stream(self, gap: StreamGap) -> None:
        """Learn that a stream fell silent, or until when it did.

        What began later stays: recovery speaks of spans that were over long ago. What began before
        is over as well: an ingestor that was killed closes nothing, and its successor tells a span
        of its own.
        """
        if gap.state == "found":
            self._streams.add(gap.from_ms)
        else:
            end_ms = max(gap.from_ms, gap.to_ms)
            self._streams = {from_ms for from_ms in self._streams if from_ms > end_ms}


class Gaps:
    """The open gaps of every symbol; ``take`` returns the markets whose status changed."""

    def __init__(self) -> None:
        self._missing: dict[Market, Missing] = {}

    def status(self, market: Market) -> DataStatus:
        """Return what clients are told of a symbol."""
        missing = self._missing.get(market)
        return WHOLE if missing is None else missing.status

    def take(self, value: bytes) -> list[Market]:
        """Take one record of ``md.gaps.v1``; raise Poison."""
        try:
            envelope = decode_gaps(value)
        except msgspec.MsgspecError as e:
            raise Poison(f"no gap record: {e}", payload=value) from e
        before: dict[Market, DataStatus] = {}
        for row in envelope.data:
            market = (envelope.exchange, envelope.channel, row.symbol)
            if isinstance(row, StreamGap) and (row.kind != "trades" or not row.symbol):
                continue  # of another stream, or of a whole socket: each symbol's ids tell
            missing = self._missing.setdefault(market, Missing())
            before.setdefault(market, missing.status)
            if isinstance(row, StreamGap):
                missing.take_stream(row)
            else:
                missing.take(row)
        changed = [market for market, status in before.items() if status != self.status(market)]
        for market in before:
            if self.status(market) == WHOLE:
                del self._missing[market]
        return changed
