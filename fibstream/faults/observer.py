"""Reads the topics as a service would, and remembers: books rebuilt, trades, gaps, dead letters."""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from decimal import Decimal
from typing import NamedTuple, Self

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from fibstream.truth import Series
from runtime.settings import Settings
from schemas.dead_letters import decode_dead_letter
from schemas.klines import Gap, StreamGap, decode_gaps
from schemas.topics import BOOKS, DEAD_LETTERS, GAPS, TRADES
from schemas.trades import decode_batch
from schemas.updates import Book, BookUpdates

Top = list[tuple[Decimal, Decimal]]

decode_books = msgspec.json.Decoder(BookUpdates).decode


class Seen(NamedTuple):
    """A gap event and when it was read."""

    at_s: float
    series: Series
    gap: Gap | StreamGap


class ReadBook:
    """A book as a reader of the topic has it; no code of the ingestor that is judged is in it."""

    def __init__(self) -> None:
        self.last_id = 0
        self.is_chained = True
        self._scales = (0, 0)
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def take(self, update: Book) -> None:
        """Apply an update."""
        if update.type == "snapshot":
            self._sides = ({}, {})
        elif update.prev_id is not None and update.prev_id != self.last_id:
            self.is_chained = False
        for side, levels in zip(self._sides, (update.bids, update.asks), strict=True):
            for price, qty in levels:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        self.last_id = update.last_id
        self._scales = (update.price_scale, update.qty_scale)

    def top(self, depth: int) -> tuple[Top, Top]:
        """Return the best levels, bids first."""
        bids, asks = self._sides
        return (
            self._levels(sorted(bids, reverse=True)[:depth], bids),
            self._levels(sorted(asks)[:depth], asks),
        )

    def _levels(self, prices: list[int], side: dict[int, int]) -> Top:
        price_scale, qty_scale = self._scales
        return [
            (Decimal(price).scaleb(-price_scale), Decimal(side[price]).scaleb(-qty_scale))
            for price in prices
        ]


class Observer:
    """``async with Observer(settings)``: what it has seen is in its fields."""

    def __init__(self, settings: Settings) -> None:
        self.books: dict[Series, ReadBook] = defaultdict(ReadBook)
        self.trades: dict[Series, Counter[tuple[int, str]]] = defaultdict(Counter)
        self.traded_s: dict[Series, float] = {}
        self.gaps: list[Seen] = []
        self.letters: list[tuple[float, str, bytes]] = []
        prefix = settings.kafka_topic_prefix
        self._takers = {
            prefix + BOOKS.name: self._book,
            prefix + TRADES.name: self._trade,
            prefix + GAPS.name: self._gap,
            prefix + DEAD_LETTERS.name: self._letter,
        }
        self._consumer = AIOKafkaConsumer(
            *self._takers,
            bootstrap_servers=settings.kafka_bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        await self._consumer.stop()

    async def _read(self) -> None:
        while True:
            found = await self._consumer.getmany(timeout_ms=50)
            for records in found.values():
                for record in records:
                    self._takers[record.topic](record)

    def _book(self, record: ConsumerRecord) -> None:
        batch = decode_books(record.value)
        for update in batch.data:
            self.books[batch.exchange, batch.channel, update.symbol].take(update)

    def _trade(self, record: ConsumerRecord) -> None:
        batch = decode_batch(record.value)
        for group in batch.symbols:
            series = (batch.exchange, batch.channel, group.symbol)
            uids = group.uid or [""] * len(group.id)
            self.trades[series].update(zip(group.id, uids, strict=True))
            self.traded_s[series] = time.monotonic()

    def _gap(self, record: ConsumerRecord) -> None:
        envelope = decode_gaps(record.value)
        now_s = time.monotonic()
        for gap in envelope.data:
            series = (envelope.exchange, envelope.channel, gap.symbol)
            self.gaps.append(Seen(now_s, series, gap))

    def _letter(self, record: ConsumerRecord) -> None:
        letter = decode_dead_letter(record.value)
        self.letters.append((time.monotonic(), letter.source, letter.payload))
