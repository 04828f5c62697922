"""The recompute worker as a process: read, wait for the warehouse, compute, publish, commit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from processors.intervals import Intervals
from processors.recompute import metrics
from processors.recompute.plan import Asked, coalesced
from processors.recompute.recomputation import Judged, recompute
from processors.recompute.requests import Batch, Requests, sorted_error
from processors.recompute.rows import envelopes
from processors.recompute.warehouse import TooTangled, Warehouse
from runtime import ready
from runtime.clickhouse import url_of
from runtime.errors import Poison, Retriable
from runtime.kafka import ensure_topics, producer_options, topic_specs, wait_for_broker
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.intervals import parse_intervals
from schemas.topics import CONTROL, DEAD_LETTERS, KLINES, RECOMPUTE, TRADES, symbol_key

logger = structlog.get_logger(__name__)

WRITTEN_POLL_S = 0.1
TOLD_EVERY_S = 15.0
TRIES_WITHIN_S = 600.0  # what is away for longer is left to the supervisor and the operator
WORKED_S = 120.0  # what fails after so long did not fail at once: the count begins anew
LETTER_BYTES_MAX = 600 << 10

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The process ends with a batch in hand; it will be read again."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until ``stop`` is set; raise Misconfigured when it cannot start."""
    url = url_of(settings)
    await wait_for_broker(settings.kafka_bootstrap)
    topics = (RECOMPUTE, TRADES, KLINES, CONTROL, DEAD_LETTERS)
    await ensure_topics(settings.kafka_bootstrap, topic_specs(settings, topics))
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, **producer_options())
    control = settings.kafka_topic_prefix + CONTROL.name
    intervals = Intervals(
        settings.kafka_bootstrap, control, parse_intervals(settings.kline_intervals)
    )
    worker = Recomputer(settings, intervals, Requests(settings), producer, url, stop)
    try:
        await worker.open()
        ready.announce()
        await worker.run()
    except Stopped:
        logger.warning("recompute_stopped_waiting")
    finally:
        await worker.close()
    logger.info("recompute_stopped")


class Recomputer:
    """The one loop."""

    def __init__(
        self,
        settings: Settings,
        intervals: Intervals,
        requests: Requests,
        producer: AIOKafkaProducer,
        url: str,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._intervals = intervals
        self._requests = requests
        self._producer = producer
        self._url = url
        self._stop = stop
        self._warehouse: Warehouse | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse")

    async def open(self) -> None:
        """Join the group; the warehouse is reached when it is needed."""
        await self._intervals.__aenter__()
        await self._intervals.ready()
        await self._producer.start()
        await self._requests.open()

    async def close(self) -> None:
        """Give up what ``open`` took."""
        await self._requests.close()
        await self._producer.stop()
        await self._intervals.__aexit__(None, None, None)
        if self._warehouse is not None:
            await self._in_thread(self._warehouse.close)
        self._thread.shutdown(wait=False)

    async def run(self) -> None:
        """Do batch after batch until the stop event is set."""
        while not self._stop.is_set():
            batch = await self._requests.next_batch()
            if batch is not None:
                await self._do(batch)

    async def _do(self, batch: Batch) -> None:
        await self._written(batch)
        for asked in coalesced(one for found in batch.asked.values() for one in found):
            await self._insist("warehouse", partial(self._recompute, asked))
        for poison in batch.poison:
            await self._insist("kafka", partial(self._set_aside, poison))
        await self._insist("kafka", lambda: self._requests.commit(batch))
        metrics.requests.inc(sum(map(len, batch.asked.values())))

    async def _written(self, batch: Batch) -> None:
        """Wait until the warehouse has every trade that the batch speaks of."""
        waits_since_s = told_s = time.monotonic()
        try:
            while left := await self._insist(
                "kafka", lambda: self._requests.unwritten(batch.needs)
            ):
                metrics.waiting.set(1)
                now_s = time.monotonic()
                if now_s - told_s > TOLD_EVERY_S:
                    told_s = now_s
                    logger.warning(
                        "warehouse_awaited", since_s=round(now_s - waits_since_s), offsets=left
                    )
                if now_s - waits_since_s > TRIES_WITHIN_S:
                    raise Retriable(
                        f"the warehouse has not been given the trades {left} (partition: offset)",
                        retry_after_s=TOLD_EVERY_S,
                    )
                await self._pause(WRITTEN_POLL_S)
        finally:
            metrics.waiting.set(0)

    async def _recompute(self, asked: Asked) -> None:
        """Publish the candles of one span; again from its beginning after whatever failed."""
        if self._warehouse is None:
            self._warehouse = await self._in_thread(lambda: Warehouse.connect(self._url))
        warehouse = self._warehouse
        empty = self._settings.empty_candles
        blocks = recompute(warehouse, asked, self._intervals.wanted, empty)
        published = told = lacking = 0
        with metrics.span.time():
            try:
                while (judged := await self._in_thread(lambda: next(blocks, None))) is not None:
                    if self._stop.is_set():
                        raise Stopped
                    await self._publish(asked, judged)
                    published += len(judged.news)
                    told += judged.told
                    lacking += len(judged.lacking)
            except TooTangled as e:
                logger.warning("span_refused", **asked._asdict(), reason=str(e))
        for outcome, count in (("published", published), ("told", told), ("lacking", lacking)):
            metrics.candles.labels(outcome).inc(count)
        logger.info(
            "span_recomputed", **asked._asdict(), published=published, told=told, lacking=lacking
        )
        if lacking:
            logger.error(
                "warehouse_lacks_trades",
                **asked._asdict(),
                candles=lacking,
                remedy="its candles know more trades than it holds; these candles stay as they are",
            )

    async def _publish(self, asked: Asked, judged: Judged) -> None:
        key = symbol_key(asked.exchange, asked.channel, asked.symbol)
        await self._send(KLINES.name, [(key, v) for v in envelopes(asked, judged.news)])

    async def _set_aside(self, poison: Poison) -> None:
        letter = DeadLetter(
            reason=poison.reason,
            source=self._settings.kafka_topic_prefix + RECOMPUTE.name,
            payload=poison.payload[:LETTER_BYTES_MAX],
            recv_ns=time.time_ns(),
        )
        await self._send(DEAD_LETTERS.name, [(None, encode_dead_letter(letter))])
        metrics.refused.inc()

    async def _send(self, topic: str, records: list[tuple[bytes | None, bytes]]) -> None:
        name = self._settings.kafka_topic_prefix + topic
        try:
            sent = [await self._producer.send(name, value, key=key) for key, value in records]
            await asyncio.gather(*sent)
        except kafka_errors.KafkaError as e:
            raise sorted_error(e) from e

    async def _insist(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Try until it is done, for so long as that makes sense."""
        failing_since_s: float | None = None
        while True:
            tried_s = time.monotonic()
            try:
                return await work()
            except Retriable as e:
                metrics.retries.labels(what).inc()
                logger.warning(
                    "retried_later", what=what, reason=e.reason, retry_after_s=e.retry_after_s
                )
                now_s = time.monotonic()
                if failing_since_s is None or now_s - tried_s > WORKED_S:
                    failing_since_s = now_s
                if now_s - failing_since_s > TRIES_WITHIN_S:
                    raise
                await self._pause(e.retry_after_s)

    async def _pause(self, seconds: float) -> None:
        if self._stop.is_set():
            raise Stopped
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
