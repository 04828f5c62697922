"""Frames of one market in; new trades to the collector, broken frames to the dead letters.

One intake serves all sockets of a market, so that duplicate sockets and reconnects share what
was seen.
"""

from collections.abc import Callable, Sequence

import structlog

from ingest import metrics
from ingest.batches import Collector
from ingest.decimals import Unfit
from ingest.dedup import SeenIds
from ingest.exchanges.base import Control, Exchange, Market, Other, TradeRow
from ingest.publisher import Publisher
from runtime.errors import Poison
from schemas.dead_letters import DeadLetter

logger = structlog.get_logger(__name__)


class Intake:
    """Parses, counts, deduplicates; never raises on what a venue sends."""

    def __init__(
        self, exchange: Exchange, market: Market, collector: Collector, publisher: Publisher
    ) -> None:
        self._parse: Callable[[bytes], Sequence[TradeRow | Control]] = exchange.parse
        self._kind = market.trade_kind
        self._collector = collector
        self._publisher = publisher
        self._seen: dict[str, SeenIds] = {}
        self._labels = (exchange.name, market.channel)
        self._frames = self._trades = self._duplicates = 0
        self._lag_ms: float | None = None

    def take(self, frame: bytes, recv_ns: int, source: str) -> Sequence[Control]:
        """Take one frame and return what in it concerns the session, not the market."""
        self._frames += 1
        control: list[Control] = []
        taken = 0
        try:
            for event in self._parse(frame):
                if type(event) is TradeRow:
                    if event.kind != self._kind:  # its ids are another series
                        control.append(Other(event.kind))
                        continue
                    taken += self._trade(event, recv_ns)
                else:
                    control.append(event)  # type: ignore[arg-type]
        except Poison as e:
            self._refuse(e.reason, frame, recv_ns, source)
        except Unfit as e:
            self._refuse(str(e), frame, recv_ns, source)
        if taken:
            self._trades += taken
            self._publisher.collected(taken)
        return control

    def _trade(self, row: TradeRow, recv_ns: int) -> int:
        seen = self._seen.get(row.symbol)
        if seen is None:
            seen = self._seen[row.symbol] = SeenIds()
        if not seen.is_new(row.id):
            self._duplicates += 1
            return 0
        self._collector.add(row, recv_ns)
        self._lag_ms = recv_ns / 1e6 - row.ts
        return 1

    def _refuse(self, reason: str, frame: bytes, recv_ns: int, source: str) -> None:
        metrics.refused.labels(*self._labels).inc()
        logger.debug("frame_refused", reason=reason, source=source)
        self._publisher.set_aside(
            DeadLetter(reason=reason, source=source, payload=frame, recv_ns=recv_ns)
        )

    def report(self) -> None:
        """Move the counts since the last report to the metrics."""
        metrics.frames.labels(*self._labels).inc(self._frames)
        metrics.trades.labels(*self._labels).inc(self._trades)
        metrics.duplicates.labels(*self._labels).inc(self._duplicates)
        self._frames = self._trades = self._duplicates = 0
        if self._lag_ms is not None:
            metrics.event_lag_ms.labels(*self._labels).observe(self._lag_ms)
            self._lag_ms = None
