"""The parts of one market, put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ingest import endpoints
from ingest.batches import Collector
from ingest.books import BookKeeping, SnapshotFetcher
from ingest.desk import Desk
from ingest.exchanges.base import Exchange, Instrument, Market
from ingest.gaps import StreamGaps
from ingest.intake import Intake
from ingest.link import Route, Taker
from ingest.outgoing import Source, TradeRecords, UpdateCollector
from ingest.pacing import Budgets
from ingest.publisher import Publisher
from ingest.rest import Host
from ingest.status import StatusBoard
from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.topics import TRADES, symbol_key
from schemas.trades import Source as TradesSource


def collector(
    exchange: Exchange,
    market: Market,
    instruments: Sequence[Instrument],
    partitions: int,
    source: TradesSource = "live",
) -> Collector:
    """Return the collector of one market's trades over a topic of so many partitions."""
    return Collector(
        exchange.name,
        market.channel,
        partition_of=lambda symbol: partition_for(
            symbol_key(exchange.name, market.channel, symbol), partitions
        ),
        source=source,
        ids=market.ids,
        scales={i.symbol: (i.price_scale, i.qty_scale) for i in instruments},
        contract_sizes={i.symbol: i.contract_size for i in instruments if i.contract_size != "1"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the rows of one market gather until the publisher takes them."""

    trades: Collector
    updates: UpdateCollector
    gaps: StreamGaps
    trades_topic: str

    def all(self) -> list[Source]:
        """Return them in the order in which they are published."""
        return [TradeRecords(self.trades, self.trades_topic), self.updates, self.gaps]


def sources_of(
    settings: Settings,
    exchange: Exchange,
    market: Market,
    instruments: Sequence[Instrument],
    partitions: int,
) -> Sources:
    """Return the empty sources of a market."""
    prefix = settings.kafka_topic_prefix
    return Sources(
        trades=collector(exchange, market, instruments, partitions),
        updates=UpdateCollector(
            exchange.name,
            market.channel,
            topic_prefix=prefix,
            partition_of=lambda symbol: partition_for(
                symbol_key(exchange.name, market.channel, symbol), partitions
            ),
        ),
        gaps=StreamGaps(exchange.name, market.channel, prefix),
        trades_topic=prefix + TRADES.name,
    )


def desk_of(
    settings: Settings,
    exchange: Exchange,
    market: Market,
    *,
    instruments: Mapping[str, Instrument],
    sources: Sources,
    publisher: Publisher,
    status: StatusBoard,
    host: Host,
    attempts: Budgets | None = None,
    taker: Callable[[Intake], Taker] = lambda intake: intake,
    sent: Callable[[str, bytes], None] = lambda _url, _frame: None,
    lifetime_s: float | None = None,
) -> Desk:
    """Return the desk of a market, with nothing wanted yet.

    ``taker`` may stand between the sockets and the intake; ``sent`` is told what goes out;
    ``lifetime_s`` ends connections earlier than the venue would.
    """
    keeping = BookKeeping(market.book, instrument=instruments.get) if market.book else None
    fetcher = None
    if keeping is not None and keeping.rule.snapshot is not None:
        fetcher = SnapshotFetcher(keeping, fetch=host.ask_paid, budget=host.budget)
    intake = Intake(
        exchange,
        market,
        instruments=instruments,
        trades=sources.trades,
        updates=sources.updates,
        books=keeping,
        gaps=sources.gaps,
        publisher=publisher,
    )
    route = Route(
        exchange=exchange,
        market=market,
        endpoint=endpoints.socket(settings, market),
        intake=taker(intake),
        room=publisher.room,
        sent=sent,
    )
    return Desk(
        route,
        intake,
        instruments=instruments,
        gaps=sources.gaps,
        status=status,
        ask=host.ask,
        snapshots=fetcher,
        attempts=attempts,
        pool_size=settings.exchange_socket_pool_size,
        hot_pairs=settings.exchange_hot_pairs,
        lifetime_s=lifetime_s,
    )
