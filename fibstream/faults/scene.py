"""One fault at one symbol of one venue: how to inflict it, and how to wait for what follows."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import zip_longest

from fibstream.faults.observer import Observer, Top
from fibstream.truth import Series, Truth, query_of, rule_of
from schemas.klines import Gap, StreamGap

POLL_S = 0.1
DEPTH = 5


class Simulated(Truth):
    """The exchange's truth, and the switch of its faults."""

    async def inflict(self, series: Series, kind: str, **wish: object) -> int:
        """Make a fault happen; return what it touched."""
        response = await self._client.post(
            f"{self._url}/fault", json=query_of(series) | {"kind": kind} | wish
        )
        return int(response.raise_for_status().json()["touched"])

    async def tops(self, series: Series) -> list[tuple[Top, Top]]:
        """Return the true best levels after each of the last changes, bids first."""
        told = (await self._get("books", query_of(series) | {"depth": 1, "tops": 1})).json()
        return [(_levels(top["bids"]), _levels(top["asks"])) for top in told["tops"]]


class Scene:
    """What a case has at hand; waiting is bounded by whoever plays it."""

    def __init__(
        self, series: Series, simulated: Simulated, observer: Observer, began_s: float
    ) -> None:
        self.series = series
        self.waiting_for = ""
        self.ids = rule_of(series)
        self._simulated = simulated
        self._observer = observer
        self._began_s = began_s
        self._truths: list[tuple[Top, Top]] = []

    @property
    def age_s(self) -> float:
        """How long ago the fault was."""
        return time.monotonic() - self._began_s

    async def inflict(self, kind: str, **wish: object) -> None:
        """Make the fault happen."""
        self._began_s = time.monotonic()
        await self._simulated.inflict(self.series, kind, **wish)

    async def until(self, what: str, condition: Callable[[], object]) -> None:
        """Wait for a condition; ``what`` is told where it never comes."""
        self.waiting_for = what
        while not condition():  # noqa: ASYNC110 - what is waited for comes from a topic
            await asyncio.sleep(POLL_S)

    def told(self, kind: str, state: str, *reasons: str) -> StreamGap | None:
        """Return the first event about a stream of the symbol since the fault."""
        for seen in self._observer.gaps:
            gap = seen.gap
            if seen.at_s < self._began_s or seen.series != self.series:
                continue
            if not isinstance(gap, StreamGap) or (gap.kind, gap.state) != (kind, state):
                continue
            if not reasons or gap.reason in reasons:
                return gap
        return None

    def told_ids(self) -> Gap | None:
        """Return the first event about missing ids of the symbol since the fault."""
        for seen in self._observer.gaps:
            is_new = seen.at_s >= self._began_s and seen.series == self.series
            if is_new and isinstance(seen.gap, Gap) and seen.gap.state == "found":
                return seen.gap
        return None

    def set_aside(self) -> bool:
        """Say whether a frame of the venue went to the dead letters since the fault."""
        exchange, channel, _ = self.series
        return any(
            at_s >= self._began_s and f"/{exchange}/{channel}" in source
            for at_s, source, _ in self._observer.letters
        )

    def trades_again(self, after_s: float = 0.0) -> bool:
        """Say whether a trade came since the fault, and ``after_s`` more."""
        return self._observer.traded_s.get(self.series, 0.0) > self._began_s + after_s

    def doubled(self) -> list[tuple[int, str]]:
        """Return the trades that the topic holds twice."""
        counts = self._observer.trades[self.series]
        return [key for key, count in counts.items() if count > 1]

    async def has_all_sent(self, from_ns: int, to_ns: int) -> bool:
        """Say whether every trade sent in that time is on the topic."""
        made = await self._simulated.trades(self.series)
        sent = {trade.key for trade in made if from_ns <= trade.sent_ns < to_ns}
        return sent <= self._observer.trades[self.series].keys()

    async def book_is_right(self) -> bool:
        """Say whether the reader's best levels are true ones of a moment ago, its chain unbroken.

        Of a moment ago, because a venue may tell its book twice a second only.
        """
        self._truths = await self._simulated.tops(self.series)
        mine = self._observer.books[self.series]
        return mine.is_chained and mine.top(DEPTH) in self._truths

    def book_difference(self) -> str:
        """Return the first best level in which the reader's book is not the last true one."""
        mine = self._observer.books[self.series]
        if not mine.is_chained:
            return "its chain is broken"
        if not self._truths:
            return "the truth was not asked"
        for name, read, true in zip(("bid", "ask"), mine.top(DEPTH), self._truths[-1], strict=True):
            for at, (level, truth) in enumerate(zip_longest(read, true)):
                if level != truth:
                    return f"{name} {at} is {level} against {truth}"
        return "nothing"

    async def until_book_is_right(self, within_s: float = 30.0) -> float:
        """Wait for it; return how long it took since the fault."""
        self.waiting_for = "the true book"
        deadline_s = time.monotonic() + within_s
        while not await self.book_is_right():
            if time.monotonic() > deadline_s:
                raise TimeoutError
            await asyncio.sleep(POLL_S / 2)
        return time.monotonic() - self._began_s


def _levels(told: list[list[str]]) -> Top:
    return [(Decimal(price), Decimal(qty)) for price, qty in told]
