"""The topics of ``bench peers``: the same trades in every form, and the candles that they make.

``full.`` holds all trades, ``short.`` the first of them. Our worker's are on its own topic, as an
ingestor writes them; its packed records are for nobody else, so the peers have them in lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fibstream.bench.broker import producing
from fibstream.bench.load import Shape, records
from fibstream.bench.peer_trades import Candles, fold, plain, unpacked
from fibstream.topics import create_topics
from runtime.kafka import TopicSpec, admin, ensure_topics
from runtime.settings import Settings
from schemas.topics import TRADES

PARTITIONS = 4
FULL, SHORT = "full.", "short."
PLAIN, ENVELOPE = "plain", "envelope"
CANDLES = "peers.candles"
OURS = "ours."


@dataclass(frozen=True, slots=True)
class Truth:
    """The trades under one prefix, and the candles that they make."""

    trades: int
    candles: Candles


def ours(settings: Settings) -> Settings:
    """Return the settings of our worker: candles and nothing else, as the peers."""
    return settings.model_copy(
        update={"kafka_topic_prefix": OURS, "process_agents": ("klines",)},
    )


def kept() -> set[str]:
    """Return the topics that outlive a run."""
    read = {prefix + form for prefix in (FULL, SHORT) for form in (PLAIN, ENVELOPE)}
    return {*read, CANDLES, OURS + TRADES.name}


async def produce(settings: Settings, shape: Shape, trades: int, short: int) -> dict[str, Truth]:
    """Put about ``trades`` trades on every topic, about ``short`` on the short ones."""
    # Plain records are stamped with the time of the trades: by age they would go at once.
    specs = [
        TopicSpec(name=name, partitions=PARTITIONS, config={"retention.ms": "-1"})
        for name in kept() - {OURS + TRADES.name}
    ]
    await ensure_topics(settings.kafka_bootstrap, specs)
    await create_topics(ours(settings))
    made, expected = 0, Candles()
    ends: dict[str, Truth] = {}
    async with producing(settings.kafka_bootstrap) as producer:
        for record in records(shape, trades, PARTITIONS):
            if made >= short and SHORT not in ends:
                ends[SHORT] = Truth(made, dict(expected))
            prefixes = [prefix for prefix in (FULL, SHORT) if prefix not in ends]
            partition = record.partition
            await producer.send(OURS + TRADES.name, record.value, partition=partition)
            value = unpacked(record.batch)
            for prefix in prefixes:
                await producer.send(prefix + ENVELOPE, value, partition=partition)
            for group in record.batch.symbols:
                fold(expected, group)
                value, key, at_ms = plain(group), group.symbol.encode(), group.ts[0]
                for prefix in prefixes:
                    where = {"partition": partition, "timestamp_ms": at_ms}
                    await producer.send(prefix + PLAIN, value, key=key, **where)
            made += record.trades
    return {SHORT: Truth(made, expected)} | ends | {FULL: Truth(made, expected)}


async def clear(settings: Settings) -> None:
    """Delete what a run has left on the broker, so that the next one begins with the trades."""
    async with admin(settings.kafka_bootstrap) as client:
        left = list(_left(await client.list_topics()))
        if left:
            await client.delete_topics(left)


def _left(topics: list[str]) -> Iterator[str]:
    keep = kept()
    return (name for name in topics if name not in keep and not name.startswith("__"))
