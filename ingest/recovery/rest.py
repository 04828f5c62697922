"""A venue's past trades over REST, within a share of its budget: whoever streams comes first."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import httpx
import msgspec

from ingest import endpoints, rest
from ingest.budget import Budget, venue_budget
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Exchange, Market, Request, TradeRow
from ingest.polls import Asker
from ingest.recovery.past import ByIds, ByTime, Newest, Past
from ingest.recovery.source import OutOfReach
from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings

ASK_WITHIN_S = 300.0  # pauses that the venue demands are part of it
UNLIKE_RETRY_S = 60.0  # an answer that cannot be read
LOOKS_MAX = 48  # for the first trade after a time, where nothing is traded
EMPTY_WINDOWS_MAX = 3  # in a row: ids without holes have none of them
REFUSALS = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY})

T = TypeVar("T")


class PatientHost:
    """One REST address, asked with a share of what the venue allows."""

    def __init__(
        self, endpoint: Endpoint, client: httpx.AsyncClient, whole: Budget, share: Budget
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._whole = whole
        self._share = share

    async def ask(self, request: Request) -> bytes:
        """Return the answer; raise Retriable when none came for long, Refused for a 4xx."""
        await self._share.spend(request.weight)
        await self._whole.spend(request.weight)
        try:
            async with asyncio.timeout(ASK_WITHIN_S):
                return await rest.get(
                    self._endpoint, request, self._whole, self._client, is_paid=True
                )
        except TimeoutError as e:
            raise Retriable(f"no answer in {ASK_WITHIN_S:g} s", retry_after_s=0.0) from e
        except Misconfigured as e:
            if isinstance(e.__cause__, rest.Unreachable):  # it may come back
                raise Retriable(str(e.__cause__), retry_after_s=0.0) from e
            raise


@asynccontextmanager
async def open_host(
    settings: Settings, exchange: Exchange, market: Market
) -> AsyncIterator[PatientHost]:
    """Open the REST address of a market; every recovery of it has one share together."""
    endpoint = endpoints.rest(settings, market)
    weight = max(1, int(market.rest_budget.weight_max * settings.recovery_rest_share))
    part = replace(
        market,
        rest_budget=replace(market.rest_budget, weight_max=weight, used_header=""),
    )
    name = exchange.name
    async with (
        venue_budget(settings, name, market, endpoint) as whole,
        venue_budget(settings, f"{name}-recovery", part, endpoint) as share,
        rest.open_client() as client,
    ):
        yield PatientHost(endpoint, client, whole, share)


class RestSource:
    """The pages of one market; a ``TradeSource``."""

    def __init__(self, past: Past, ask: Asker) -> None:
        self._past = past
        self._ask = ask

    async def pages(
        self,
        symbol: str,
        first_id: int | None,
        last_id: int | None,
        from_ms: int,
        to_ms: int,
    ) -> AsyncIterator[Sequence[TradeRow]]:
        """Yield pages of what lies within both ids and both times."""
        past = self._past
        match past:
            case ByIds():
                if first_id is None:
                    first_id = await self._locate(past, symbol, from_ms, to_ms)
                if first_id is not None:
                    async for page in self._by_ids(past, symbol, first_id, last_id, to_ms):
                        yield page
            case ByTime():
                async for page in self._by_time(past, symbol, from_ms, to_ms):
                    yield page
            case Newest():
                async for page in self._newest(past, symbol, from_ms, to_ms):
                    yield page

    async def _by_ids(
        self, past: ByIds, symbol: str, first_id: int, last_id: int | None, to_ms: int
    ) -> AsyncIterator[Sequence[TradeRow]]:
        at_id = first_id
        empty = 0
        while last_id is None or at_id <= last_id:
            rows = await self._read(
                symbol, past.request(symbol, at_id), lambda body: past.read(body, symbol)
            )
            within = [
                row
                for row in rows
                if row.id >= at_id and (row.ts <= to_ms if last_id is None else row.id <= last_id)
            ]
            if within:
                yield within
            is_over = not rows and (not past.is_window or last_id is None)
            if is_over or len(within) < sum(row.id >= at_id for row in rows):
                return  # the newest trade, or what lies beyond the end
            empty = 0 if rows else empty + 1
            if empty >= EMPTY_WINDOWS_MAX:
                raise OutOfReach(symbol, f"the venue tells no trade at id {at_id}")
            at_id = rows[-1].id + 1 if not past.is_window else at_id + past.page_rows_max

    async def _locate(self, past: ByIds, symbol: str, from_ms: int, to_ms: int) -> int | None:
        """Return the first id from a time on; None where nothing was traded until ``to_ms``."""
        at_ms = from_ms
        for _ in range(LOOKS_MAX):
            if at_ms > to_ms:
                return None
            found = await self._read(symbol, past.locate(symbol, at_ms), past.read_located)
            if found is not None:
                return found
            if past.locate_span_ms is None:
                break
            at_ms += past.locate_span_ms
        raise OutOfReach(symbol, "the venue tells no trade of that time")

    async def _by_time(
        self, past: ByTime, symbol: str, from_ms: int, to_ms: int
    ) -> AsyncIterator[Sequence[TradeRow]]:
        cursor = past.begin(from_ms)
        while True:
            rows, following = await self._read(
                symbol, past.request(symbol, cursor), lambda body: past.read(body, symbol)
            )
            within = [row for row in rows if from_ms <= row.ts <= to_ms]
            if within:
                yield within
            if not rows or rows[-1].ts > to_ms or following == cursor:
                return
            cursor = following

    async def _newest(
        self, past: Newest, symbol: str, from_ms: int, to_ms: int
    ) -> AsyncIterator[Sequence[TradeRow]]:
        rows = await self._read(symbol, past.request(symbol), lambda body: past.read(body, symbol))
        within = [row for row in rows if from_ms <= row.ts <= to_ms]
        if within:
            yield within
        # A page that is not full is all there is.
        if len(rows) >= past.page_rows_max and rows[0].ts >= from_ms:
            raise OutOfReach(symbol, f"the newest {len(rows)} trades begin at {rows[0].ts} ms")

    async def _read(self, symbol: str, request: Request, read: Callable[[bytes], T]) -> T:
        try:
            return read(await self._ask(request))
        except rest.Refused as e:
            if e.status not in REFUSALS:
                raise
            raise OutOfReach(symbol, e.problem) from e
        except (msgspec.MsgspecError, ValueError) as e:
            raise Retriable(f"unreadable answer: {e}", retry_after_s=UNLIKE_RETRY_S) from e
