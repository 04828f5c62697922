"""REST snapshots: few at a time, within the budget, once a symbol, whatever fails."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ingest.books import BookKeeping, SnapshotFetcher
from ingest.books.snapshots import IN_FLIGHT_MAX
from ingest.exchanges.base import BookRow, BookRule, Chain, Request
from runtime.errors import Misconfigured, Poison, Retriable

NOW_NS = 1_700_000_000_000_000_000


def chain(last_id: int, row: BookRow, is_first: bool) -> Chain:
    return Chain.NEXT if row.last_id > last_id else Chain.OLD


def read(body: bytes, symbol: str, recv_ms: int) -> BookRow:
    if body == b"garbage":
        raise Poison("garbage", payload=body)
    return BookRow(symbol, recv_ms, True, 9, 9, None, [("1", "1")], [])


RULE = BookRule(
    chain=chain, snapshot=lambda s: Request(path=f"/depth/{s}", weight=50), read_snapshot=read
)


class Rest:
    """Answers when it is let, and counts."""

    def __init__(self, *answers) -> None:
        self.asked: list[str] = []
        self.spent = 0
        self.in_flight = self.in_flight_max = 0
        self.gate = asyncio.Event()
        self._answers = list(answers)

    async def spend(self, weight: int) -> None:
        self.spent += weight

    async def fetch(self, request: Request) -> bytes:
        self.asked.append(request.path.removeprefix("/depth/"))
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight, self.in_flight_max)
        try:
            await self.gate.wait()
        finally:
            self.in_flight -= 1
        answer = self._answers.pop(0) if self._answers else b"book"
        if isinstance(answer, Exception):
            raise answer
        return answer


def waiting(count: int) -> tuple[BookKeeping, list[str]]:
    keeping = BookKeeping(RULE)
    for i in range(count):
        keeping.take(BookRow(f"S{i}", 1, False, 8, 8, 7, [], []), NOW_NS)
    return keeping, keeping.drain().fetch


@asynccontextmanager
async def running(keeping: BookKeeping, rest: Rest):
    fetcher = SnapshotFetcher(keeping, fetch=rest.fetch, budget=rest, now_ns=lambda: NOW_NS)
    task = asyncio.create_task(fetcher.run())
    yield fetcher
    await settled()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def settled() -> None:
    for _ in range(2_000):
        await asyncio.sleep(0)


async def test_128_symbols_at_once_are_no_storm() -> None:
    keeping, symbols = waiting(128)
    rest = Rest()
    async with running(keeping, rest) as fetcher:
        fetcher.ask(symbols)
        fetcher.ask(symbols)
        await settled()
        assert (rest.asked, rest.in_flight) == (symbols[:IN_FLIGHT_MAX], IN_FLIGHT_MAX)
        fetcher.ask(symbols)  # those in flight too
        rest.gate.set()
    assert sorted(rest.asked) == sorted(symbols)
    assert rest.in_flight_max == IN_FLIGHT_MAX
    assert rest.spent == 128 * 50
    assert all(keeper.is_live for keeper in keeping.keepers.values())
    assert len(keeping.drain().updates) == 128


@pytest.mark.parametrize(
    "failure",
    [
        b"garbage",
        Retriable("HTTP 503", retry_after_s=0.0),
        Misconfigured("X", "HTTP 400", remedy="-"),
        TimeoutError(),
    ],
    ids=lambda f: type(f).__name__,
)
async def test_a_failure_is_told_to_the_keeper_and_the_next_ask_succeeds(failure) -> None:
    keeping, symbols = waiting(1)
    rest = Rest(failure)
    rest.gate.set()
    async with running(keeping, rest) as fetcher:
        fetcher.ask(symbols)
        await settled()
        keeping.pulse(NOW_NS + 900_000_000)
        assert keeping.drain().fetch == []
        keeping.pulse(NOW_NS + 1_000_000_000)
        (again,) = keeping.drain().fetch
        fetcher.ask([again])
    assert rest.asked == ["S0", "S0"]
    assert keeping.keepers["S0"].is_live


async def test_a_venue_that_wants_to_be_left_alone_is_left_alone() -> None:
    keeping, symbols = waiting(20)
    rest = Rest(*[Retriable("HTTP 418", retry_after_s=3_600.0)] * IN_FLIGHT_MAX)
    rest.gate.set()
    async with running(keeping, rest) as fetcher:
        fetcher.ask(symbols)
    assert len(rest.asked) == IN_FLIGHT_MAX


async def test_a_book_that_no_longer_waits_costs_nothing() -> None:
    keeping, symbols = waiting(2)
    keeping.snapshot(read(b"", "S0", 1), NOW_NS)
    keeping.forget(["S1"])
    rest = Rest()
    rest.gate.set()
    async with running(keeping, rest) as fetcher:
        fetcher.ask(symbols)
    assert (rest.asked, rest.spent) == ([], 0)


async def test_a_request_keeps_every_update_from_when_it_leaves() -> None:
    keeping, symbols = waiting(1)
    rest = Rest()
    async with running(keeping, rest) as fetcher:
        fetcher.ask(symbols)
        await settled()
        for i in range(10, 2_010):
            keeping.take(BookRow("S0", 1, False, i, i, i - 1, [("2", str(i))], []), NOW_NS)
        rest.gate.set()
    assert len(keeping.drain().updates) == 2_001


def test_a_market_whose_stream_sends_snapshots_has_no_fetcher() -> None:
    with pytest.raises(AssertionError):
        SnapshotFetcher(BookKeeping(BookRule(chain=chain)), fetch=None, budget=None)
