"""``fibstream reconcile``: what became of comparing our candles with the venues' own.

Of a candle only its last row counts: what was called missing or different may be equal since.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors
from rich.console import Group, RenderableType
from rich.table import Table

from runtime.errors import Retriable
from runtime.kafka import close_consumer
from runtime.settings import Settings
from schemas.reconciliation import (
    Reconciliation,
    ReconciliationEnvelope,
    decode_reconciliation,
)
from schemas.topics import RECONCILIATION

CANDLES_MAX = 1_000_000  # remembered for a later row about them, ~300 bytes each
DIFFERENCES_MAX = 20
HOURS_MS = 3_600_000
POLL_MS = 500

CandleKey = tuple[str, str, str, int, str, int]
"""Exchange, channel, symbol, length, anchor and open time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is summed up; ``run_for_s`` follows the topic for so long, else to its present end."""

    exchange: str | None = None
    symbol: str | None = None
    hours: float = 24.0
    run_for_s: float | None = None


class Summary:
    """Counts candles by their last verdict, and keeps the first that differ."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._last: OrderedDict[CandleKey, Reconciliation] = OrderedDict()
        self._forgotten: Counter[tuple[str, str, str]] = Counter()

    def take(self, told: ReconciliationEnvelope) -> None:
        """Take one record, in the order of the topic."""
        if self._wanted.exchange not in (None, told.exchange):
            return
        for row in told.data:
            if self._wanted.symbol not in (None, row.symbol):
                continue
            key: CandleKey = (
                *(told.exchange, told.channel, row.symbol),
                *(row.interval, row.anchor, row.timestamp),
            )
            held = self._last.get(key)
            if held is None or row.rev >= held.rev:
                self._last[key] = row
        while len(self._last) > CANDLES_MAX:
            key, row = self._last.popitem(last=False)
            self._forgotten[key[0], row.verdict, row.explanation] += 1

    def report(self) -> dict[str, Any]:
        """Return the counts, and of what is not equal the first; the unexplained before all."""
        counts = self._forgotten.copy()
        for key, row in self._last.items():
            counts[key[0], row.verdict, row.explanation] += 1
        others = [(key, row) for key, row in self._last.items() if row.verdict != "equal"]
        others.sort(key=_rank)
        return {
            "ok": not any(explanation == "unexplained" for _, _, explanation in counts),
            "candles": sum(counts.values()),
            "verdicts": [
                {"exchange": e, "verdict": v, "explanation": why, "candles": n}
                for (e, v, why), n in sorted(counts.items())
            ],
            "differences": [_told(key, row) for key, row in others[:DIFFERENCES_MAX]],
        }


def _rank(each: tuple[CandleKey, Reconciliation]) -> tuple[bool, bool, int]:
    key, row = each
    return row.explanation != "unexplained", row.verdict != "differs", key[5]


async def reconcile(settings: Settings, wanted: Wanted) -> dict[str, Any]:
    """Read the topic and return the report; raise Retriable when Kafka does not answer."""
    summary = Summary(wanted)
    consumer = AIOKafkaConsumer(
        settings.kafka_topic_prefix + RECONCILIATION.name,
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        await _read(consumer, summary, wanted)
    except kafka_errors.KafkaError as e:
        raise Retriable(f"Kafka at {settings.kafka_bootstrap}: {e!r}", retry_after_s=5.0) from e
    finally:
        await close_consumer(consumer)
    return summary.report()


async def _read(consumer: AIOKafkaConsumer, summary: Summary, wanted: Wanted) -> None:
    partitions = consumer.assignment()
    if not partitions:
        return
    since_ms = int(time.time() * 1_000 - wanted.hours * HOURS_MS)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
    ends = await consumer.end_offsets(partitions)
    for tp in partitions:
        consumer.seek(tp, found[tp].offset if found.get(tp) else ends[tp])
    until_s = time.monotonic() + (wanted.run_for_s or 0)
    while time.monotonic() < until_s or not await _is_at(consumer, ends):
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                summary.take(decode_reconciliation(record.value))
        await asyncio.sleep(0)


async def _is_at(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return all([await consumer.position(tp) >= end for tp, end in ends.items()])


def table(report: dict[str, Any]) -> RenderableType:
    """Return the report to look at."""
    counts = Table("exchange", "verdict", "explanation", "candles", title="Candles")
    for row in report["verdicts"]:
        cells = (row["exchange"], row["verdict"], row["explanation"] or "-", f"{row['candles']:,}")
        counts.add_row(*cells)
    differences = Table("candle", "verdict", "what differs: ours | the venue's", title="First ones")
    for row in report["differences"]:
        fields = [f"{d['field']} {d['ours']} | {d['venue']}" for d in row["differences"]]
        why = " ".join([row["verdict"], row["explanation"], row["detail"]])
        differences.add_row(row["candle"], why.strip(), ", ".join(fields) or "-")
    return Group(counts, differences) if report["differences"] else counts


def _told(key: CandleKey, row: Reconciliation) -> dict[str, Any]:
    exchange, channel, symbol, _, _, opened_ms = key
    return {
        "candle": f"{exchange} {channel} {symbol} {row.frame.text} {opened_ms}",
        "verdict": row.verdict,
        "explanation": row.explanation,
        "detail": row.detail,
        "differences": [
            {"field": each.field, "ours": str(each.ours), "venue": str(each.venue)}
            for each in row.differences
        ],
        "ours_rev": row.ours_rev,
        "venue_rev": row.venue_rev,
    }
