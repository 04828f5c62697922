"""Recovered trades into ``md.trades.v1``, keyed and cut as the live ones, and awaited.

What is returned is stored: only then may progress be written.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingest import market as markets
from ingest.batches import Collector
from ingest.decimals import Unfit
from ingest.exchanges.base import Exchange, Instrument, Market, TradeRow
from ingest.recovery import metrics
from runtime.errors import Retriable
from schemas.recovery import FetchedFrom
from schemas.trades import encode_batch

logger = structlog.get_logger(__name__)


class KafkaAway(Retriable):
    """Nothing is stored: the process ends, and goes on where the topics say."""


class Delivery:
    """One market's way into the topic."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        exchange: Exchange,
        market: Market,
        *,
        instruments: Sequence[Instrument],
        partitions: int,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._market = market
        self._exchange = exchange
        self._partitions = partitions
        self._instruments: Mapping[str, Instrument] = {i.symbol: i for i in instruments}
        self._collectors = self._made(instruments)

    def list_anew(self, instruments: Sequence[Instrument]) -> None:
        """Take another list of the venue's: contracts have sizes."""
        self._instruments = {i.symbol: i for i in instruments}
        self._collectors = self._made(instruments)

    def knows(self, symbol: str) -> bool:
        """Say whether the size of a symbol's contract is known, where it matters."""
        return self._market.in_base is None or symbol in self._instruments

    def _made(self, instruments: Sequence[Instrument]) -> dict[FetchedFrom, Collector]:
        sources: tuple[FetchedFrom, ...] = ("rest", "archive")
        return {
            source: markets.collector(
                self._exchange, self._market, instruments, self._partitions, source
            )
            for source in sources
        }

    async def publish(
        self, rows: Sequence[TradeRow], source: FetchedFrom
    ) -> tuple[Sequence[TradeRow], int]:
        """Return those that were stored, and the highest offset; raise KafkaAway."""
        collector = self._collectors[source]
        recv_ns = time.time_ns()
        labels = self._exchange.name, self._market.channel
        refused: set[int] = set()
        for at, row in enumerate(rows):
            try:
                collector.add(self._in_base(row), recv_ns)
            except Unfit as e:
                refused.add(at)
                metrics.refused.labels(*labels).inc()
                logger.warning("trade_left_out", symbol=row.symbol, id=row.id, reason=str(e))
        try:
            sent = [
                await self._producer.send(self._topic, encode_batch(batch), partition=partition)
                for partition, batch in collector.drain()
            ]
            stored = await asyncio.gather(*sent)
        except KafkaError as e:
            raise KafkaAway(f"Kafka did not store trades: {e!r}", retry_after_s=1.0) from e
        taken = [row for at, row in enumerate(rows) if at not in refused] if refused else rows
        metrics.trades.labels(*labels, source).inc(len(taken))
        return taken, max((record.offset for record in stored), default=-1)

    def _in_base(self, row: TradeRow) -> TradeRow:
        if self._market.in_base is None:
            return row
        changed = self._market.in_base(row, self._instruments[row.symbol].contract_size)
        assert isinstance(changed, TradeRow)  # noqa: S101 - a row stays what it is
        return changed
