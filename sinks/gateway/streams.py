"""The routes that say and show which streams run: ``/streams`` and ``/instruments``.

Every wish is a record of ``md.control.v1``: written and acknowledged before it is answered.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field, StrictBool, model_validator

from schemas.capabilities import CAPABILITIES
from schemas.control import Control, StreamState
from schemas.streams import Kind, StreamKey, Transport
from schemas.trades import Channel
from sinks.gateway import names
from sinks.gateway.answers import ACCEPTED, ERRORS, write_or_refuse
from sinks.gateway.control import Knobs, StreamRef, StreamTable, StreamView
from sinks.gateway.names import Market, Unknown

PAGE_DEFAULT = 500
PAGE_MAX = 2_000  # more would hold up the clients of the WebSocket

Write = Callable[[Mapping[StreamKey, Control | None]], Awaitable[None]]
Exchange = Annotated[str | None, Query(max_length=64, examples=["binance"])]
Name = Annotated[str, Path(min_length=1, max_length=64)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Offset = Annotated[int, Query(ge=0)]
T = TypeVar("T")


class KnobsPatch(BaseModel, extra="forbid"):
    """Knobs to change; at least one."""

    enabled: StrictBool | None = Field(None, examples=[True])
    db_writes_enabled: StrictBool | None = Field(None, examples=[False])
    redis_publishes_enabled: StrictBool | None = None

    @model_validator(mode="after")
    def _some(self) -> "KnobsPatch":
        if not self.said():
            raise ValueError("name at least one of " + ", ".join(Knobs.model_fields))
        return self

    def said(self) -> dict[str, bool]:
        """Return the knobs that were named."""
        return self.model_dump(exclude_none=True)


class StreamList(BaseModel):
    """Streams, a page of them; ``count`` is of all pages."""

    count: int
    streams: list[StreamView]


class StreamCount(BaseModel):
    """How many streams are wanted or run, and in which state."""

    count: int
    by_state: dict[str, int]
    by_exchange: dict[str, int]


def build_streams(table: StreamTable, write: Write) -> APIRouter:
    """Return the routes over what the table knows."""
    router = APIRouter(tags=["streams"])
    _add_lists(router, table)
    _add_changes(router, table, write)
    _add_one(router, table, write)
    return router


def _add_lists(router: APIRouter, table: StreamTable) -> None:
    @router.get("/streams")
    async def streams(
        exchange: Exchange = None,
        channel: Channel | None = None,
        symbol: Annotated[str | None, Query(max_length=64)] = None,
        kind: Annotated[str | None, Query(max_length=64)] = None,
        state: StreamState | None = None,
        removed: Annotated[
            bool, Query(description="Also those that are no longer wanted.")
        ] = False,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
    ) -> StreamList:
        """List the streams that are wanted or run."""
        within = markets_of(exchange, channel)
        kinds = known(lambda: names.kinds(kind)) if kind else None
        found = [
            key
            for key in table.streams(with_removed=removed)
            if (within is None or key[:2] in within)
            and channel in (None, key.channel)
            and (kinds is None or key.kind in kinds)
            and symbol in (None, key.symbol)
            and (state is None or state == table.state(key))
        ]
        page = [table.view(key) for key in found[offset : offset + limit]]
        return StreamList(count=len(found), streams=page)

    @router.get("/streams/count")
    async def count() -> StreamCount:
        """Count the streams that are wanted or run."""
        keys = table.streams(with_removed=False)
        return StreamCount(
            count=len(keys),
            by_state=Counter(table.state(key) or "unknown" for key in keys),
            by_exchange=Counter(key.exchange for key in keys),
        )

    @router.get("/streams/capabilities")
    async def capabilities() -> dict[str, dict[Channel, dict[Kind, Transport]]]:
        """Tell which kinds each exchange has, by channel, and how they come."""
        return {
            exchange: {channel: dict(kinds) for channel, kinds in channels.items()}
            for exchange, channels in CAPABILITIES.items()
        }


def _add_changes(router: APIRouter, table: StreamTable, write: Write) -> None:
    @router.post("/streams", responses=ERRORS)
    async def add(ref: StreamRef, response: Response) -> StreamView | StreamList:
        """Want a stream, also after restarts; 202: that is new, 200: it was so already."""
        keys = known(lambda: table.resolve(ref))
        if await change(table, write, keys, enabled=True):
            response.status_code = ACCEPTED
        return _answer(table, keys)

    @router.delete("/streams", responses=ERRORS)
    async def remove(ref: StreamRef, response: Response) -> StreamView | StreamList:
        """Want a stream no more, whatever the settings of its ingestor say."""
        keys = known(lambda: table.find(ref))
        if await change(table, write, keys, enabled=False):
            response.status_code = ACCEPTED
        return _answer(table, keys)


def _add_one(router: APIRouter, table: StreamTable, write: Write) -> None:
    # A symbol may hold slashes (BTC/USD), as such or as %2F. Knobs first: they end like a stream.
    one = "/streams/{exchange}/{symbol:path}/{kind}/{transport}"

    def find(exchange: str, symbol: str, kind: str, transport: str, channel: Channel | None) -> Any:
        def found() -> list[StreamKey]:
            ref = StreamRef(
                exchange=exchange, symbol=symbol, kind=kind, transport=transport, channel=channel
            )
            return table.find(ref)

        return known(found)

    @router.get(one + "/knobs", responses=ERRORS)
    async def knobs(
        exchange: Name, symbol: Name, kind: Name, transport: Name, channel: Channel | None = None
    ) -> Knobs:
        """Tell what is wanted of a stream; of several, what is wanted of all."""
        return _knobs(table, find(exchange, symbol, kind, transport, channel))

    @router.patch(one + "/knobs", responses=ERRORS)
    async def patch(
        exchange: Name,
        symbol: Name,
        kind: Name,
        transport: Name,
        patched: KnobsPatch,
        channel: Channel | None = None,
    ) -> Knobs:
        """Change what is wanted of a stream; knobs that are not named stay."""
        keys = find(exchange, symbol, kind, transport, channel)
        await change(table, write, keys, **patched.said())
        return _knobs(table, keys)

    @router.delete(one + "/knobs", responses=ERRORS)
    async def forget(
        exchange: Name, symbol: Name, kind: Name, transport: Name, channel: Channel | None = None
    ) -> StreamView | StreamList:
        """Take back all that was wanted here: the settings of the ingestor decide again."""
        keys = find(exchange, symbol, kind, transport, channel)
        await write_or_refuse(write, {key: None for key in keys if key in table.controls})
        return _answer(table, keys)

    @router.get(one, responses=ERRORS)
    async def stream(
        exchange: Name, symbol: Name, kind: Name, transport: Name, channel: Channel | None = None
    ) -> StreamView | StreamList:
        """Show a stream: what is wanted of it, and what became of it."""
        return _answer(table, find(exchange, symbol, kind, transport, channel))


def known(name: Callable[[], T]) -> T:
    """Return what the names mean, or answer the client that they are unknown."""
    try:
        return name()
    except Unknown as e:
        raise HTTPException(e.status, {"reason": e.reason, "near": e.near}) from e


def markets_of(exchange: str | None, channel: Channel | None) -> list[Market] | None:
    """Return the markets that a filter lets through; None: all."""
    return known(lambda: names.markets(exchange, channel)) if exchange else None


async def change(
    table: StreamTable, write: Write, keys: Iterable[StreamKey], **knobs: bool
) -> bool:
    """Change what is wanted of streams; say whether that is news."""
    now_ms = time.time_ns() // 1_000_000
    changed = {key: table.changed(key, now_ms, **knobs) for key in keys}
    changes = {key: control for key, control in changed.items() if control is not None}
    await write_or_refuse(write, changes)
    return bool(changes)


def _answer(table: StreamTable, keys: Sequence[StreamKey]) -> StreamView | StreamList:
    """Return the stream; of a name that means several, a list."""
    views = [table.view(key) for key in keys]
    return views[0] if len(views) == 1 else StreamList(count=len(views), streams=views)


def _knobs(table: StreamTable, keys: Sequence[StreamKey]) -> Knobs:
    views = [table.view(key) for key in keys]
    return Knobs(**{name: all(getattr(v, name) for v in views) for name in Knobs.model_fields})
