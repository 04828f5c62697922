"""Records to Kafka, tick by tick and in order, or the process ends.

Nothing is dropped when Kafka is away: ``room`` closes, the sockets are not read, and the venue
keeps (or cuts) the rest. What was cut shows as missing ids.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError

from ingest import metrics
from ingest.outgoing import Record, Source
from ingest.pacing import Budget
from runtime.errors import Retriable
from schemas.dead_letters import DeadLetter, encode_dead_letter

logger = structlog.get_logger(__name__)

ROWS_MAX = 100_000  # collected and in flight, of all markets together
# A tick is latency, and a record costs the worker 100 us and us 60, whatever is inside: at 3 ms, 12
# partitions make 2,500 records/s at most, a quarter of a worker's core (BENCHMARKS.md).
TICK_MIN_S = 0.003
TICK_MAX_S = 0.050
TICK_GROWTH_S = 0.15e-6  # per trade/s: more than the least from 20,000 trades/s on
IN_FLIGHT_RECORDS_MAX = 64  # more unacknowledged records mean that Kafka wants fewer, larger ones
DEAD_LETTERS_PER_S_MAX = 100
DEAD_LETTERS_WAITING_MAX = 1_000  # while Kafka is away
DEAD_LETTER_BYTES_MAX = 512 * 1024  # base64 of it stays below Kafka's 1 MB


class Producer(Protocol):
    """What is needed of an aiokafka producer: idempotent, acks=all."""

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> asyncio.Future[object]:
        """Queue one record; the future is done when it is acknowledged."""


def tick_s(rows_per_s: float, in_flight_records: int) -> float:
    """Return how long to collect: short when quiet, long when records would get too many.

    It grows with what is in flight, so that one slow answer of Kafka's does not cost 50 ms.
    """
    crowd = max(1.0, in_flight_records / IN_FLIGHT_RECORDS_MAX)
    return min(TICK_MAX_S, crowd * max(TICK_MIN_S, rows_per_s * TICK_GROWTH_S))


class Publisher:
    """Owns everything between a collected trade and its acknowledgement."""

    def __init__(
        self,
        producer: Producer,
        sources: Sequence[Source],
        *,
        dead_letters_topic: str,
        rows_max: int = ROWS_MAX,
    ) -> None:
        self.room = asyncio.Event()
        """Closed while too much is unacknowledged; whoever reads a socket waits for it."""
        self.room.set()
        self._producer = producer
        self._sources = sources
        self._dead_letters_topic = dead_letters_topic
        self._rows_max = rows_max
        self._rows = 0
        self._rows_per_s = 0.0
        self._filled = asyncio.Event()
        self._closing = False
        self._in_flight: set[asyncio.Future[object]] = set()
        self._failure: BaseException | None = None
        self._dead_letters: list[DeadLetter] = []
        self._dead_letter_budget = Budget(DEAD_LETTERS_PER_S_MAX, 1.0)

    def collected(self, rows: int) -> None:
        """Take note of rows that a source was given; 0 where only an event waits."""
        self._rows += rows
        self._filled.set()
        if self._rows >= self._rows_max and self.room.is_set():
            self.room.clear()
            metrics.paused.set(1)
            logger.warning("kafka_behind", buffered_rows=self._rows)

    def set_aside(self, letter: DeadLetter) -> None:
        """Queue a dead letter, unless a flood of them came this second, or too many wait."""
        now_s = time.monotonic()
        is_full = len(self._dead_letters) >= DEAD_LETTERS_WAITING_MAX
        if is_full or self._dead_letter_budget.wait_s(now_s) > 0:
            metrics.dead_letters_suppressed.inc()
            return
        self._dead_letter_budget.spend(now_s)
        self._dead_letters.append(_bounded(letter))
        self._filled.set()

    async def run(self) -> None:
        """Publish tick by tick until ``close``; raise Retriable when Kafka refuses for good."""
        flushed_s = time.monotonic()
        while not self._closing:
            await self._filled.wait()
            await asyncio.sleep(tick_s(self._rows_per_s, len(self._in_flight)))
            self._filled.clear()
            rows = await self._flush()
            now_s = time.monotonic()
            self._rows_per_s += 0.2 * (rows / (now_s - flushed_s) - self._rows_per_s)
            flushed_s = now_s
        await self._flush()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        self._raise_failure()

    @property
    def unacknowledged_rows(self) -> int:
        """Return how many trades Kafka has not confirmed."""
        return self._rows

    def close(self) -> None:
        """Let ``run`` flush what there is and return."""
        self._closing = True
        self._filled.set()

    async def _flush(self) -> int:
        self._raise_failure()
        rows = 0
        for source in self._sources:
            for record in source.records():
                await self._send(record)
                rows += record.rows
        letters, self._dead_letters = self._dead_letters, []
        for letter in letters:
            value = encode_dead_letter(letter)
            await self._send(Record(self._dead_letters_topic, 0, None, value, 0))
        metrics.buffered_rows.set(self._rows)
        return rows

    async def _send(self, record: Record) -> None:
        topic, partition, key, value, rows = record
        sent_s = time.monotonic()
        while True:
            try:
                future = await self._producer.send(topic, value, key=key, partition=partition)
                break
            except KafkaTimeoutError:  # not queued: the same record is offered again, order kept
                logger.warning("kafka_away", topic=topic, partition=partition)
            except KafkaError as e:
                raise Retriable(f"Kafka refused a record: {e!r}", retry_after_s=1.0) from e
        self._in_flight.add(future)
        future.add_done_callback(lambda done: self._acknowledged(done, rows, sent_s))

    def _acknowledged(self, done: asyncio.Future[object], rows: int, sent_s: float) -> None:
        self._in_flight.discard(done)
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        if failure is not None:
            self._failure = self._failure or failure
            self._filled.set()
            return
        metrics.publish_seconds.observe(time.monotonic() - sent_s)
        self._rows -= rows
        if not self.room.is_set() and self._rows <= self._rows_max // 2:
            self.room.set()
            metrics.paused.set(0)
            logger.info("kafka_caught_up", buffered_rows=self._rows)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            # A hole in an idempotent producer's sequence cannot be repaired from inside.
            raise Retriable(
                f"Kafka did not store a record: {self._failure!r}", retry_after_s=1.0
            ) from self._failure


def _bounded(letter: DeadLetter) -> DeadLetter:
    size = len(letter.payload)
    if size <= DEAD_LETTER_BYTES_MAX:
        return letter
    return DeadLetter(
        reason=f"{letter.reason} (the first {DEAD_LETTER_BYTES_MAX} of {size} bytes)",
        source=letter.source,
        payload=letter.payload[:DEAD_LETTER_BYTES_MAX],
        recv_ns=letter.recv_ns,
    )
