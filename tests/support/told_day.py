"""A day of two symbols as records of every topic, beside the bare facts that they tell.

Trades go through the real engine and books through the real fold; what is right is reckoned from
the facts alone. Some trade records come a second time, as after a reconnect.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from processors.books import Books
from processors.engine.engine import Engine
from processors.fold import Output
from schemas import topics, updates
from schemas.intervals import parse_intervals
from schemas.topics import Topic
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from schemas.updates import Level
from sinks.base import Record

DAY_MS = 1_709_251_200_000  # 2024-03-01
HOUR_MS = 3_600_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
MISSING = range(4_001, 4_004)
"""Ids of BTCUSDT that never come: not so many that a minute would stay without a trade."""
BITCOIN = SYMBOLS[0]
BEGINS = {"BTCUSDT": 6_100_000, "ETHUSDT": 340_000}
STEP_MS_MAX = 14_000
AFTER_MS = 10 * 60_000  # trades go on after the day, so that its candles close
RECORD_MS = 20_000
PRICE_SCALE, QTY_SCALE = 2, 3
DEPTH = 5
STORED = (topics.KLINES, topics.GAPS, topics.BOOK_SNAPSHOTS)
"""What of the folds' outputs has a table."""


class Row(NamedTuple):
    """One trade."""

    symbol: str
    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int


class History:
    """The facts, oldest first, and ``records`` that tell them; always the same."""

    def __init__(self, seed: int = 7) -> None:
        self._pick = random.Random(seed)
        self._offsets: Counter[str] = Counter()
        self.records: list[Record] = []
        self.rows: list[Row] = []
        """The trades that came."""
        self.books: list[tuple[int, list[Level], list[Level]]] = []
        """Time, bids and asks after each update; best first, in units of the scales."""
        self.funding: list[tuple[int, int, Decimal]] = []
        """When it was told, when it is due, the rate; none that was told too late."""
        self.interest: list[tuple[str, int, Decimal]] = []
        self.liquidations: list[tuple[str, int, int, Decimal]] = []
        """Symbol, full hour, the orders' side, what they were worth together."""
        self._tell_trades()
        self._tell_books()
        self._tell_funding()
        self._tell_interest()
        self._tell_liquidations()

    def _tell_trades(self) -> None:
        walks = [self._walk(symbol) for symbol in SYMBOLS]
        self.rows = sorted((row for walk in walks for row in walk), key=lambda row: row.ts)
        intervals = parse_intervals(("1m", "1h", "173m"))
        engine = Engine(intervals, grace_ms=80, live_every_ms=250, closes_quiet=False)
        ts, before = 0, b""
        for _, rows in groupby(self.rows, key=lambda row: row.ts // RECORD_MS):
            part = list(rows)
            ts, value = part[-1].ts, encode_batch(_batch(part))
            again = [before] if before and self._pick.random() < 0.1 else []
            for each in (*again, value):
                engine.apply(topics.TRADES, 0, self._tell(topics.TRADES, ts, each), each)
                self._publish(ts, engine.outputs(ts, {0}))
            before = value
        engine.merge()
        self._publish(ts, engine.outputs(ts, {0}))

    def _walk(self, symbol: str) -> Iterable[Row]:
        pick, price = self._pick, BEGINS[symbol]
        id_, ts = 1, DAY_MS + 1
        while ts < DAY_MS + 24 * HOUR_MS + AFTER_MS:
            if symbol != BITCOIN or id_ not in MISSING:
                qty = _exact(pick.randrange(1, 9_000), QTY_SCALE)
                side = pick.choice((-1, 1))
                yield Row(symbol, id_, ts, _exact(price, PRICE_SCALE), qty, side)
            price += pick.randint(-price // 2_000, price // 2_000)
            ts += pick.randrange(1_000, STEP_MS_MAX)
            id_ += 1

    def _tell_books(self) -> None:
        """Tell two updates an hour: the first a snapshot, the second a delta."""
        pick, fold = self._pick, Books(every_ms=0, depth=DEPTH)
        bids, asks = dict[int, int](), dict[int, int]()
        for n in range(48):
            is_delta = n % 2 == 1
            ts = DAY_MS + n * HOUR_MS // 2 + 700_123
            gone = [dict.fromkeys(was, 0) if is_delta else {} for was in (bids, asks)]
            middle = BEGINS[BITCOIN] + pick.randint(-30, 30)
            down, up = (sorted(pick.sample(range(31, 99), DEPTH)) for _ in "ba")
            bids = {middle - step: pick.randrange(300, 2_500) for step in down}
            asks = {middle + step: pick.randrange(700, 2_500) for step in up}
            book = updates.Book(
                *(BITCOIN, ts, "delta" if is_delta else "snapshot", 10 * n + 1, 10 * n + 10),
                *(PRICE_SCALE, QTY_SCALE),
                bids=list((gone[0] | bids).items()),
                asks=list((gone[1] | asks).items()),
                prev_id=10 * n if is_delta else None,
            )
            fold.apply(topics.BOOKS, 0, *self._update(topics.BOOKS, updates.BookUpdates, book))
            self._publish(ts, fold.outputs(ts, {0}))
            self.books.append((ts, list(bids.items()), list(asks.items())))

    def _tell_funding(self) -> None:
        """Tell every hour what is due at the next of 0, 8 and 16 o'clock; and at that time too."""
        for ts in range(DAY_MS - 4 * HOUR_MS, DAY_MS + 24 * HOUR_MS, HOUR_MS):
            due_ms = (ts // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
            rate = _exact(self._pick.randint(-40_000, 90_000), 8)
            told = [(ts, rate)] if due_ms - ts > HOUR_MS else [(ts, rate), (due_ms, rate + 1)]
            for told_ms, each in told:
                row = updates.Funding(BITCOIN, told_ms, each, due_ms)
                self._update(topics.FUNDING, updates.FundingUpdates, row)
            self.funding.append((ts, due_ms, rate))

    def _tell_interest(self) -> None:
        for ts in range(DAY_MS + 1, DAY_MS + 24 * HOUR_MS, HOUR_MS):
            row = updates.OpenInterest(BITCOIN, ts, _exact(self._pick.randrange(10**8), QTY_SCALE))
            self._update(topics.OPEN_INTEREST, updates.OpenInterestUpdates, row)
            self.interest.append((BITCOIN, ts, row.open_interest))

    def _tell_liquidations(self) -> None:
        pick = self._pick
        hours = range(DAY_MS, DAY_MS + 24 * HOUR_MS, HOUR_MS)
        for hour_ms, side in ((h, s) for h in hours for s in (-1, 1) if pick.random() < 0.5):
            value = Decimal(0)
            for ts in sorted(pick.sample(range(hour_ms, hour_ms + HOUR_MS), pick.choice((1, 2)))):
                price = _exact(BEGINS[BITCOIN] + pick.randint(-5_000, 5_000), PRICE_SCALE)
                qty = _exact(pick.randrange(1, 5_000), QTY_SCALE)
                row = updates.Liquidation(BITCOIN, ts, side, price, qty)
                self._update(topics.LIQUIDATIONS, updates.LiquidationUpdates, row)
                value += price * qty
            self.liquidations.append((BITCOIN, hour_ms, side, value))

    def _update(
        self, topic: Topic, kind: Callable[..., updates.Updates], row: updates.Update
    ) -> tuple[int, bytes]:
        """Tell a row in a record of its own; return its offset and value."""
        of = kind(exchange="binance", channel="linear", recv_ns=_ns(row.ts), data=[row])
        value = updates.encode_updates(of)
        return self._tell(topic, row.ts, value), value

    def _publish(self, ts: int, outputs: Iterable[Output]) -> None:
        for topic, _, value in outputs:
            if topic in STORED:
                self._tell(topic, ts, value)

    def _tell(self, topic: Topic, ts: int, value: bytes) -> int:
        offset = self._offsets[topic.name]
        self._offsets[topic.name] += 1
        self.records.append(Record(topic.name, 0, offset, ts, value))
        return offset


def _batch(part: list[Row]) -> TradeBatch:
    groups = [
        SymbolTrades(
            *(symbol, PRICE_SCALE, QTY_SCALE),
            id=[row.id for row in rows],
            ts=[row.ts for row in rows],
            price=[int(row.price.scaleb(PRICE_SCALE)) for row in rows],
            qty=[int(row.qty.scaleb(QTY_SCALE)) for row in rows],
            side=[row.side for row in rows],
        )
        for symbol in SYMBOLS
        if (rows := [row for row in part if row.symbol == symbol])
    ]
    return TradeBatch("binance", "linear", "live", _ns(part[-1].ts), groups)


def _exact(units: int, scale: int) -> Decimal:
    return Decimal(units).scaleb(-scale)


def _ns(ts: int) -> int:
    return (ts + 5) * 1_000_000
