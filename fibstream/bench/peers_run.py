"""One run of ``bench peers``: our worker, or a peer's program; each within its time, or failed."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from fibstream.bench.peer_trades import (
    MINUTE_MS,
    PRICE_SCALE,
    QTY_SCALE,
    Candles,
    differences,
)
from fibstream.bench.peers_load import PARTITIONS, Truth, ours
from fibstream.bench.processor import run_worker
from fibstream.topics import create_topics
from runtime.child import ChildFailed
from runtime.errors import PipelineError
from runtime.settings import Settings
from runtime.tether import tethered
from schemas.klines import Kline, decode_klines
from schemas.topics import KLINES

HALF = 0.5
LOG_BYTES = 2_000  # of what a peer that failed said
READ_WITHIN_S = 120.0


class PeerFailed(Exception):  # noqa: N818 - reads as what happened
    """It ended with an error, said nothing, or took too long."""


async def run_ours(
    settings: Settings, lengths: Sequence[str], truth: Truth, *, within_s: float
) -> dict[str, Any]:
    """Let our worker fold the trades from their beginning; return its costs and differences."""
    settings = ours(settings).model_copy(update={"kline_intervals": tuple(lengths)})
    await create_topics(settings)
    try:
        report: dict[str, Any] = await run_worker(
            settings, truth.trades, from_share=HALF, within_s=within_s
        )
        async with asyncio.timeout(READ_WITHIN_S):
            found = await _told(settings)
    except (RuntimeError, TimeoutError, ChildFailed, PipelineError) as e:
        raise PeerFailed(f"{type(e).__name__}: {e}") from e
    # An aggregate counts the trades inside it, and those of the load have two each.
    expected = {key: (*candle[:5], 2 * candle[5]) for key, candle in truth.candles.items()}
    return report | {"differences": differences(found, expected, only_closed=True)}


async def run_peer(argv: Sequence[str], *, within_s: float) -> dict[str, Any]:
    """Return what a program said last; nothing of it is left, whatever becomes of it."""
    with TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *tethered(argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), within_s)
        except TimeoutError:
            raise PeerFailed(f"it was not done within {within_s:g} s\n{_end(log)}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        lines = out.decode(errors="replace").strip().splitlines()
        if process.returncode or not lines:
            raise PeerFailed(f"it ended with code {process.returncode}\n{_end(log)}")
    try:
        said: dict[str, Any] = json.loads(lines[-1])
    except ValueError:
        raise PeerFailed(f"its last word is no report: {lines[-1][:LOG_BYTES]}") from None
    return said


def _end(log: Any) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LOG_BYTES))
    return str(log.read().decode(errors="replace"))


async def _told(settings: Settings) -> Candles:
    """Return the closed minutes that our worker published, each at its last revision."""
    latest: dict[tuple[str, int], Kline] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    await consumer.start()
    try:
        topic = settings.kafka_topic_prefix + KLINES.name
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for row in (r for m in messages for r in decode_klines(m.value).data):
                    key, old = (row.symbol, row.timestamp), latest.get((row.symbol, row.timestamp))
                    is_later = old is None or row.version >= old.version
                    if row.interval == MINUTE_MS and row.closed and is_later:
                        latest[key] = row
    finally:
        await consumer.stop()
    return {key: _candle(row) for key, row in latest.items()}


def _candle(row: Kline) -> tuple[int, int, int, int, int, int]:
    prices = [int(p.scaleb(PRICE_SCALE)) for p in (row.open, row.high, row.low, row.close)]
    return (*prices, int(row.volume.scaleb(QTY_SCALE)), row.trade_count)  # type: ignore[return-value]
