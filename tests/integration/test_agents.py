"""Several agents in one worker on a real broker: one table, one owner of each partition."""

import asyncio
import signal

import msgspec
import pytest
from workers import (
    PARTITIONS,
    SERIES,
    SHORT_SESSION,
    Feed,
    Market,
    Workers,
    exit_code,
    read_topic,
    settled,
    worker_settings,
)

from runtime.kafka import partition_for
from runtime.settings import Settings
from schemas.dead_letters import decode_dead_letter
from schemas.snapshots import decode_ticker_snapshots
from schemas.topics import DEAD_LETTERS, TICKER_SNAPSHOTS, TICKERS, symbol_key
from schemas.updates import Ticker, TickerUpdates

pytestmark = [pytest.mark.soak, pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path) -> Settings:
    return worker_settings(
        kafka_bootstrap,
        topic_prefix,
        tmp_path,
        process_agents=("klines", "tickers", "books", "stats", "ticks", "reconciliation"),
        kline_intervals=("1m", "173m"),  # fewer candles to fill where time jumps
        live_update_interval_ms=0,
    )


async def tell(feed: Feed, settings: Settings, **fields: object) -> None:
    """Tell an update of the ticker of every symbol; fields left out stay as they were."""
    for exchange, channel, symbol in SERIES:
        row = Ticker(symbol, 1, **fields)
        updates = TickerUpdates(exchange=exchange, channel=channel, recv_ns=1, data=[row])
        partition = partition_for(symbol_key(exchange, channel, symbol), PARTITIONS)
        topic = settings.kafka_topic_prefix + TICKERS.name
        await feed._producer.send(topic, msgspec.json.encode(updates), partition=partition)
    await feed._producer.flush()


async def tickers(settings: Settings, **wanted: object) -> None:
    """Wait until the newest snapshot of every symbol says so."""
    async with asyncio.timeout(60):
        while True:
            newest: dict[bytes, tuple[int, object]] = {}
            for record in await read_topic(settings, TICKER_SNAPSHOTS.name):
                (row,) = decode_ticker_snapshots(record.value).data
                newest[record.key] = max(newest.get(record.key, (-1, None)), (row.rev, row))
            said = [
                all(getattr(row, k) == v for k, v in wanted.items()) for _, row in newest.values()
            ]
            if len(said) == len(SERIES) and all(said):
                return
            await asyncio.sleep(0.2)


async def test_every_agent_goes_on_where_it_was_after_a_kill_and_a_rebalance(
    settings, tmp_path
) -> None:
    market = Market(seed=30)
    async with (
        Workers(settings, tmp_path, *SHORT_SESSION) as workers,
        Feed(settings, market) as feed,
    ):
        first = await workers.start()
        await tell(feed, settings, is_snapshot=True, last_price=5, mark_price=6)
        await feed.send(600)
        await tickers(settings, last_price=5, mark_price=6)
        await settled(settings, market.real)
        second = await workers.start()
        await tell(feed, settings, is_snapshot=False, last_price=7)
        await feed.send(600)
        first.signal(signal.SIGKILL)
        await feed.send(600)
        await tickers(settings, last_price=7, mark_price=6)
        await tell(feed, settings, is_snapshot=False, mark_price=8)
        await tickers(settings, last_price=7, mark_price=8)
        await settled(settings, market.real)
        assert exit_code(second) is None
        await feed._producer.send_and_wait(
            settings.kafka_topic_prefix + TICKERS.name, b"no json", partition=0
        )
        async with asyncio.timeout(20):
            while not (found := await read_topic(settings, DEAD_LETTERS.name)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert [decode_dead_letter(record.value).payload for record in found] == [b"no json"]


async def test_workers_with_other_agents_in_one_group_are_refused(settings, tmp_path) -> None:
    """Faust gives each topic to those who read it: partitions of one worker would differ."""
    candles_only = settings.model_copy(update={"process_agents": ("klines",)})
    async with Workers(settings, tmp_path, *SHORT_SESSION) as workers:
        first = await workers.start()
        workers._settings = candles_only
        other = await workers.start(ready=False)
        ends = [asyncio.create_task(worker.ended()) for worker in (first, other)]
        done, _ = await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert done
        assert 2 in (exit_code(first), exit_code(other))
