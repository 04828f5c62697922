"""What goes to Kafka beside trades: updates by kind and partition, and keyed single records."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from ingest.batches import Collector
from schemas.streams import Kind
from schemas.topics import RAW
from schemas.trades import Channel, encode_batch
from schemas.updates import (
    Book,
    BookUpdates,
    FundingUpdates,
    LiquidationUpdates,
    OpenInterestUpdates,
    TickerUpdates,
    Update,
    VenueKlineUpdates,
    encode_updates,
)

RECORD_ROWS_MAX = 2_000
RECORD_LEVELS_MAX = 20_000  # ~24 bytes each: half of Kafka's default limit of 1 MB a record

ENVELOPES: Mapping[Kind, Callable[..., object]] = {
    "tickers": TickerUpdates,
    "books": BookUpdates,
    "funding": FundingUpdates,
    "open-interest": OpenInterestUpdates,
    "liquidations": LiquidationUpdates,
    "venue-klines": VenueKlineUpdates,
}


class Record(NamedTuple):
    """One record for Kafka; ``rows`` of it count as buffered until it is acknowledged."""

    topic: str
    partition: int | None
    """None: by the key."""
    key: bytes | None
    value: bytes
    rows: int


class Source(Protocol):
    """Whatever has records to publish at a tick."""

    def records(self) -> Iterator[Record]:
        """Yield what is due, in order, and forget it."""


class _Open:
    """The record in the making of one kind and partition."""

    __slots__ = ("data", "levels", "recv_ns")

    def __init__(self) -> None:
        self.data: list[Update] = []
        self.levels = 0
        self.recv_ns = 0


class UpdateCollector:
    """Collects the updates of one exchange and channel until they are drained."""

    def __init__(
        self,
        exchange: str,
        channel: Channel,
        *,
        topic_prefix: str,
        partition_of: Callable[[str], int],
    ) -> None:
        self._exchange = exchange
        self._channel: Channel = channel
        self._topics = {kind: topic_prefix + topic.name for kind, topic in RAW.items()}
        self._partition_of = partition_of
        self._partitions: dict[str, int] = {}
        self._open: dict[tuple[Kind, int], _Open] = {}
        self._full: list[Record] = []

    def add(self, kind: Kind, update: Update, recv_ns: int) -> None:
        """Take one update."""
        symbol = update.symbol
        partition = self._partitions.get(symbol)
        if partition is None:
            partition = self._partitions[symbol] = self._partition_of(symbol)
        at = kind, partition
        record = self._open.get(at)
        if record is None:
            record = self._open[at] = _Open()
        record.data.append(update)
        record.recv_ns = recv_ns
        if type(update) is Book:
            record.levels += len(update.bids) + len(update.asks)
        if len(record.data) >= RECORD_ROWS_MAX or record.levels >= RECORD_LEVELS_MAX:
            self._full.append(self._sealed(at, self._open.pop(at)))

    def records(self) -> Iterator[Record]:
        """Yield every record, oldest first within a partition."""
        full, opened = self._full, self._open
        self._full, self._open = [], {}
        yield from full
        for at, record in opened.items():
            yield self._sealed(at, record)

    def _sealed(self, at: tuple[Kind, int], record: _Open) -> Record:
        kind, partition = at
        envelope = ENVELOPES[kind](
            exchange=self._exchange,
            channel=self._channel,
            recv_ns=record.recv_ns,
            data=record.data,
        )
        return Record(
            self._topics[kind], partition, None, encode_updates(envelope), len(record.data)
        )


class TradeRecords:
    """The trades of a collector as records."""

    def __init__(self, collector: Collector, topic: str) -> None:
        self._collector = collector
        self._topic = topic

    def records(self) -> Iterator[Record]:
        """Yield one record per partition, and more where one would be too long."""
        for partition, batch in self._collector.drain():
            yield Record(self._topic, partition, None, encode_batch(batch), len(batch))
