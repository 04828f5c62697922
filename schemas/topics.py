"""The topic catalogue. A topic missing here does not exist: startup creates exactly these.

The raw topics are neither compacted nor transactional, so that their offsets have no holes.
"""

from dataclasses import dataclass, field

import msgspec

from schemas.alerts import (
    AlertState,
    ConsumerLag,
    DiskFree,
    GapOpen,
    PriceCrosses,
    PriceMoves,
    StreamSilent,
    VolumeSpike,
)
from schemas.bars import BarEnvelope
from schemas.control import Control, InstrumentRow, IntervalControl, StreamStatus
from schemas.dead_letters import DeadLetter
from schemas.integrity import IntegrityEnvelope
from schemas.keys import ApiKey, AuditEntry, TokenFamily
from schemas.klines import GapEnvelope, KlineEnvelope, PriceEnvelope, StreamGapEnvelope
from schemas.recompute import RecomputeEnvelope
from schemas.reconciliation import ReconciliationEnvelope
from schemas.recovery import Backfill, Recovery
from schemas.snapshots import BookSnapshotEnvelope, TickEnvelope, TickerSnapshotEnvelope
from schemas.stats import MarketStatsEnvelope
from schemas.streams import Kind
from schemas.trades import PackedBatch, TradeBatch
from schemas.updates import (
    BookUpdates,
    FundingUpdates,
    LiquidationUpdates,
    OpenInterestUpdates,
    TickerUpdates,
    VenueKlineUpdates,
)

DAY_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic; ``partitions`` None means the configured number."""

    name: str
    value: type[msgspec.Struct]
    about: str
    also: tuple[type[msgspec.Struct], ...] = ()
    """Other values of this topic, told apart by their ``data_type``."""
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


# Readers start at its beginning: compact early, or they read days of records for one each.
COMPACTED_EARLY = {"segment.ms": "600000", "min.cleanable.dirty.ratio": "0.1"}


def in_sync(replication: int) -> dict[str, str]:
    """Return how many copies an acknowledged record has: two, where there are three or more."""
    return {"min.insync.replicas": "2"} if replication >= 3 else {}


TRADES = Topic(
    name="md.trades.v1",
    value=TradeBatch,
    also=(PackedBatch,),
    about="Trades as the exchange sent them, one record per exchange, partition and tick.",
)
TICKERS = Topic(
    name="md.tickers.v1",
    value=TickerUpdates,
    about="Tickers as the exchange sent them: snapshots, and deltas of what changed.",
)
BOOKS = Topic(
    name="md.books.v1",
    value=BookUpdates,
    about="Order books: deltas in an unbroken chain, and a full snapshot every 30 s.",
    retention_ms=DAY_MS,
)
FUNDING = Topic(
    name="md.funding.v1", value=FundingUpdates, about="Funding rates, mark and index prices."
)
OPEN_INTEREST = Topic(
    name="md.open-interest.v1", value=OpenInterestUpdates, about="Open interest of contracts."
)
LIQUIDATIONS = Topic(name="md.liquidations.v1", value=LiquidationUpdates, about="Forced orders.")
VENUE_KLINES = Topic(
    name="md.venue-klines.v1",
    value=VenueKlineUpdates,
    about="The exchange's own candles, growing and closed.",
)
KLINES = Topic(
    name="md.klines.v1",
    value=KlineEnvelope,
    about="Closed candles and their corrections, one symbol a record.",
    retention_ms=90 * DAY_MS,
)
BARS = Topic(
    name="md.bars.v1",
    value=BarEnvelope,
    about="Closed bars of so many trades, so much volume or money, and their corrections; only "
    "where STREAMER_BARS asks for some.",
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
    config=COMPACTED_EARLY,
)
TICKER_SNAPSHOTS = Topic(
    name="md.ticker-snapshots.v1",
    value=TickerSnapshotEnvelope,
    about="The whole ticker of a symbol, merged and conflated.",
    compacted=True,
    config=COMPACTED_EARLY,
)
BOOK_SNAPSHOTS = Topic(
    name="md.book-snapshots.v1",
    value=BookSnapshotEnvelope,
    about="The best levels of a symbol's book, conflated.",
    compacted=True,
    config=COMPACTED_EARLY,
)
MARKET_STATS = Topic(
    name="md.market-stats.v1",
    value=MarketStatsEnvelope,
    about="The last 24 hours of a symbol, from its candles of one minute.",
    compacted=True,
    config=COMPACTED_EARLY,
)
TICKS = Topic(
    name="md.ticks.v1",
    value=TickEnvelope,
    about="The last trade of a symbol with its quantity and side, conflated.",
    compacted=True,
    config=COMPACTED_EARLY,
)
GAPS = Topic(
    name="md.gaps.v1",
    value=GapEnvelope,
    also=(StreamGapEnvelope,),
    about="Missing trade ids, and streams that did not deliver; what became of both.",
)
RECOMPUTE = Topic(
    name="md.recompute.v1",
    value=RecomputeEnvelope,
    about="Candles that a recovered trade changed after their state was gone.",
)
RECOVERY = Topic(
    name="md.recovery.v1",
    value=Recovery,
    also=(Backfill,),
    about="How far the recovery of each gap, and each backfill, has come: a restart goes on there.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
RECONCILIATION = Topic(
    name="md.reconciliation.v1",
    value=ReconciliationEnvelope,
    about="Our closed candles beside the exchange's own: equal, or what differs and why.",
    retention_ms=30 * DAY_MS,
)
INTEGRITY = Topic(
    name="md.integrity.v1",
    value=IntegrityEnvelope,
    about="Months and days of a symbol's trades in the warehouse: whole, or what is missing.",
    retention_ms=30 * DAY_MS,
)
CONTROL = Topic(
    name="md.control.v1",
    value=Control,
    also=(IntervalControl,),
    about="Which streams shall run, with which knobs, and which intervals be made; the API writes "
    "it, ingestors and workers obey it.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
STREAMS = Topic(
    name="md.streams.v1",
    value=StreamStatus,
    about="What became of each stream, as its ingestor tells it.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
INSTRUMENTS = Topic(
    name="md.instruments.v1",
    value=InstrumentRow,
    about="The symbols of each exchange: status, steps, contract size, unified name.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
KEYS = Topic(
    name="md.keys.v1",
    value=ApiKey,
    about="The gateway's API keys: who made them, their roles and hashes; every gateway reads it.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
TOKEN_FAMILIES = Topic(
    name="md.token-families.v1",
    value=TokenFamily,
    about="Which refresh tokens of the gateway were used: each is good once, at one gateway.",
    compacted=True,
    partitions=1,
    # A refresh token lives for a year at most: what is older is about nothing that still opens.
    config=COMPACTED_EARLY
    | {"cleanup.policy": "compact,delete", "retention.ms": str(400 * DAY_MS)},
)
AUDIT = Topic(
    name="md.audit.v1",
    value=AuditEntry,
    about="Calls of the gateway that need more than reading rights: who, what, and the answer.",
    retention_ms=365 * DAY_MS,
    partitions=1,
)
ALERTS = Topic(
    name="md.alerts.v1",
    value=PriceCrosses,
    also=(PriceMoves, VolumeSpike, GapOpen, StreamSilent, ConsumerLag, DiskFree),
    about="Rules of alerts; the API writes them. The URLs of their targets hold secrets.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
ALERT_STATES = Topic(
    name="md.alert-states.v1",
    value=AlertState,
    about="What each rule has told of each subject, and what waits to be delivered.",
    compacted=True,
    partitions=1,
    config=COMPACTED_EARLY,
)
DEAD_LETTERS = Topic(
    name="md.dead-letters.v1",
    value=DeadLetter,
    about="What could not be read: reason, source and the raw bytes.",
    retention_ms=14 * DAY_MS,
    partitions=1,
)

RAW: dict[Kind, Topic] = {
    "trades": TRADES,
    "tickers": TICKERS,
    "books": BOOKS,
    "funding": FUNDING,
    "open-interest": OPEN_INTEREST,
    "liquidations": LIQUIDATIONS,
    "venue-klines": VENUE_KLINES,
}
CATALOGUE = (
    *RAW.values(),
    KLINES,
    KLINES_LIVE,
    BARS,
    PRICES,
    TICKER_SNAPSHOTS,
    BOOK_SNAPSHOTS,
    MARKET_STATS,
    TICKS,
    GAPS,
    RECOMPUTE,
    RECOVERY,
    RECONCILIATION,
    INTEGRITY,
    CONTROL,
    STREAMS,
    INSTRUMENTS,
    KEYS,
    TOKEN_FAMILIES,
    AUDIT,
    ALERTS,
    ALERT_STATES,
    DEAD_LETTERS,
)


def symbol_key(exchange: str, channel: str, symbol: str) -> bytes:
    """Return the partition key of a symbol, on every topic."""
    return f"{exchange}:{channel}:{symbol}".encode()
