"""The topic catalogue. A topic missing here does not exist: startup creates exactly these.

The raw topics are neither compacted nor transactional, so that their offsets have no holes.
"""

from dataclasses import dataclass, field

import msgspec

from schemas.dead_letters import DeadLetter
from schemas.klines import GapEnvelope, KlineEnvelope, PriceEnvelope
from schemas.recompute import RecomputeEnvelope
from schemas.trades import TradeBatch

DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic; ``partitions`` None means the configured number."""

    name: str
    value: type[msgspec.Struct]
    about: str
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False
    partitions: int | None = None
    config: dict[str, str] = field(default_factory=dict)

    def settings(self, replication: int = 1) -> dict[str, str]:
        """Return the topic's Kafka configuration for that many copies."""
        keep = {"retention.ms": str(self.retention_ms)}
        if self.compacted:
            keep = {"cleanup.policy": "compact"}
        return keep | self.config | in_sync(replication)


def in_sync(replication: int) -> dict[str, str]:
    """Return how many copies an acknowledged record has: two, where there are three or more."""
    return {"min.insync.replicas": "2"} if replication >= 3 else {}


TRADES = Topic(
    name="md.trades.v1",
    value=TradeBatch,
    about="Trades as the exchange sent them, one record per exchange, partition and tick.",
)
KLINES = Topic(
    name="md.klines.v1",
    value=KlineEnvelope,
    about="Closed candles and their corrections, one symbol a record.",
    retention_ms=90 * DAY_MS,
)
KLINES_LIVE = Topic(
    name="md.klines-live.v1",
    value=KlineEnvelope,
    about="The open candles of one symbol, throttled.",
    retention_ms=DAY_MS // 24,
)
PRICES = Topic(
    name="md.prices.v1",
    value=PriceEnvelope,
    about="The last price, conflated.",
    compacted=True,
    # Readers start at its beginning: compact early, or they read days of prices for one each.
    config={"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"},
)
GAPS = Topic(
    name="md.gaps.v1", value=GapEnvelope, about="Missing trade ids and what became of them."
)
RECOMPUTE = Topic(
    name="md.recompute.v1",
    value=RecomputeEnvelope,
    about="Candles that a recovered trade changed after their state was gone.",
)
DEAD_LETTERS = Topic(
    name="md.dead-letters.v1",
    value=DeadLetter,
    about="What could not be read: reason, source and the raw bytes.",
    retention_ms=14 * DAY_MS,
    partitions=1,
)

CATALOGUE = (TRADES, KLINES, KLINES_LIVE, PRICES, GAPS, RECOMPUTE, DEAD_LETTERS)


def symbol_key(exchange: str, channel: str, symbol: str) -> bytes:
    """Return the partition key of a symbol, on every topic."""
    return f"{exchange}:{channel}:{symbol}".encode()
