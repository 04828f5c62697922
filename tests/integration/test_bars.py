"""A worker on a real broker makes bars that close by size, and makes them again after a kill."""

import signal
from collections.abc import Iterable

import pytest
from workers import (
    SHORT_SESSION,
    Feed,
    Market,
    Workers,
    read_to_the_end,
    read_topic,
    worker_settings,
)

from processors.engine.engine import Engine
from schemas.bars import TradeBar, decode_bars, parse_bar_sizes
from schemas.intervals import parse_intervals
from schemas.topics import BARS, TRADES
from schemas.trades import decode_batch

pytestmark = [pytest.mark.soak, pytest.mark.integration, pytest.mark.timeout(120)]

SIZES = ("tick:7", "volume:40", "dollar:20000")
Revision = tuple[str, str, str, str, int, int, int]


def revisions(values: Iterable[bytes]) -> dict[Revision, TradeBar]:
    """Return every revision; one that is told twice says the same."""
    found: dict[Revision, TradeBar] = {}
    for value in values:
        told = decode_bars(value)
        for row in told.data:
            series = told.exchange, told.channel, row.symbol
            revision = (*series, row.bar, row.day, row.seq, row.rev)
            assert found.setdefault(revision, row) == row
    return found


def final(found: dict[Revision, TradeBar]) -> dict[tuple[object, ...], TradeBar]:
    return {key[:-1]: found[key] for key in sorted(found)}


async def test_bars_after_kill_9_are_those_of_a_worker_that_was_never_killed(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    settings = worker_settings(kafka_bootstrap, topic_prefix, tmp_path, bars=SIZES)
    market = Market(seed=11)
    async with (
        Workers(settings, tmp_path, *SHORT_SESSION) as workers,
        Feed(settings, market) as feed,
    ):
        for _ in range(3):
            worker = await workers.start()
            await feed.send(150)
            worker.signal(signal.SIGKILL)
            await worker.ended()
        await workers.start()
        await feed.send(50)
        await read_to_the_end(settings)
    calm = Engine(
        parse_intervals(settings.kline_intervals),
        grace_ms=80,
        live_every_ms=250,
        closes_quiet=False,
        bars=parse_bar_sizes(SIZES),
    )
    values: list[bytes] = []
    for record in await read_topic(settings, TRADES.name):
        calm.apply_batch(record.partition, record.offset, decode_batch(record.value or b""))
        values += [o.value for o in calm.outputs(0, ()) if o.topic is BARS]
    made = revisions(values)
    told = revisions(r.value or b"" for r in await read_topic(settings, BARS.name))
    assert len(final(made)) > 100
    assert told.items() <= made.items()
    assert final(told) == final(made)
