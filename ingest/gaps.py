"""Streams that did not deliver, as records of ``md.gaps.v1``: found once, recovered once."""

from collections.abc import Iterable, Iterator
from typing import get_args

import msgspec
import structlog

from ingest import metrics
from ingest.outgoing import Record
from schemas.klines import GapReason, StreamGap, StreamGapEnvelope
from schemas.streams import Kind
from schemas.topics import GAPS, symbol_key
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

REASONS: tuple[GapReason, ...] = get_args(GapReason)

WAITING_MAX = 10_000  # events not yet published; beyond it the oldest go

_encode = msgspec.json.Encoder().encode


class StreamGaps:
    """The open gaps of one exchange and channel, and the events to publish."""

    def __init__(self, exchange: str, channel: Channel, topic_prefix: str) -> None:
        self._exchange = exchange
        self._channel: Channel = channel
        self._topic = topic_prefix + GAPS.name
        self._open: dict[tuple[Kind, str, GapReason], StreamGap] = {}
        self._waiting: list[StreamGap] = []

    def found(
        self, kind: Kind, symbol: str, reason: GapReason, from_ms: int, detail: str = ""
    ) -> None:
        """Open a gap, unless it is open already."""
        at = kind, symbol, reason
        if at in self._open:
            return
        gap = StreamGap(
            symbol=symbol, kind=kind, reason=reason, state="found", from_ms=from_ms, detail=detail
        )
        self._open[at] = gap
        self._publish(gap)
        logger.warning("stream_gap_found", kind=kind, symbol=symbol, reason=reason, detail=detail)

    def recovered(
        self, kind: Kind, symbol: str, reason: GapReason, to_ms: int, detail: str = ""
    ) -> None:
        """Close a gap, where it is open."""
        gap = self._open.pop((kind, symbol, reason), None)
        if gap is None:
            return
        whole = msgspec.structs.replace(
            gap, state="recovered", to_ms=to_ms, detail=detail or gap.detail
        )
        self._publish(whole)
        logger.info("stream_gap_recovered", kind=kind, symbol=symbol, reason=reason)

    def told(self, gaps: Iterable[StreamGap]) -> None:
        """Take events that were judged elsewhere (books)."""
        for gap in gaps:
            at = gap.kind, gap.symbol, gap.reason
            if gap.state == "found":
                self._open[at] = gap
            else:
                self._open.pop(at, None)
            self._publish(gap)

    def ended(self, kind: Kind, symbol: str, now_ms: int) -> None:
        """Close every gap of a stream that is no longer wanted."""
        for reason in REASONS:
            self.recovered(kind, symbol, reason, now_ms, "the stream was switched off")

    def is_open(self, kind: Kind, symbol: str) -> str:
        """Return the reason of an open gap of a stream, or nothing."""
        return next((r for r in REASONS if (kind, symbol, r) in self._open), "")

    def records(self) -> Iterator[Record]:
        """Yield one record per event, keyed by its symbol."""
        waiting, self._waiting = self._waiting, []
        for gap in waiting:
            envelope = StreamGapEnvelope(exchange=self._exchange, channel=self._channel, data=[gap])
            key = symbol_key(self._exchange, self._channel, gap.symbol)
            yield Record(self._topic, None, key, _encode(envelope), 0)

    def _publish(self, gap: StreamGap) -> None:
        metrics.stream_gaps.labels(
            self._exchange, self._channel, gap.kind, gap.reason, gap.state
        ).inc()
        if len(self._waiting) >= WAITING_MAX:
            del self._waiting[0]
        self._waiting.append(gap)
