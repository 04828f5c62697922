"""``/health/{runtime,kafka,db,redis}``: each part by itself, for probes; 503 where it is away.

What is asked of others is asked once a second at most, whoever probes.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from runtime.settings import Settings
from schemas.clickhouse.pieces import Query
from sinks.gateway.answers import UNAVAILABLE
from sinks.gateway.hub import Hub
from sinks.gateway.warehouse import QueryTooBig, Warehouse, WarehouseAway

ASKED_EVERY_S = 1.0
REDIS_WITHIN_S = 1.0
OK = "ok"
_ALIVE = Query("SELECT 1", {})


class Part(BaseModel):
    """One part of the system."""

    status: str = Field(examples=["ok"], description="ok, or why not.")
    uptime_seconds: int | None = Field(None, examples=[86_400])


NOT_SERVING: dict[int | str, dict[str, Any]] = {
    UNAVAILABLE: {"model": Part, "description": "It does not serve; status says why."}
}


class Probe:
    """The state of one part, asked anew when it is old."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._state = ""
        self._asked_s = float("-inf")

    async def state(self) -> str:
        """Return ``ok`` or why not."""
        now_s = time.monotonic()
        if now_s - self._asked_s > ASKED_EVERY_S:
            self._asked_s = now_s
            self._state = await self._ask()
        return self._state or "being asked"


def build_health(
    hub: Hub, warehouse: Warehouse, settings: Settings, is_silent: Callable[[], bool]
) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/health", tags=["health"])
    started_s = time.monotonic()

    async def db() -> str:
        try:
            await warehouse.ask(_ALIVE, "TabSeparated")
        except (WarehouseAway, QueryTooBig) as e:
            return warehouse.state if warehouse.state == "not configured" else str(e)
        return OK

    async def redis() -> str:
        return await redis_state_of(settings)

    probes = {"db": Probe(db), "redis": Probe(redis)}

    def answer(response: Response, status: str) -> Part:
        response.status_code = 200 if status == OK else UNAVAILABLE
        return Part(status=status, uptime_seconds=round(time.monotonic() - started_s))

    @router.get("/runtime", responses=NOT_SERVING)
    async def runtime(response: Response) -> Part:
        """Say whether this process has what it needs to answer."""
        return answer(response, OK if hub.is_live else "loading")

    @router.get("/kafka", responses=NOT_SERVING)
    async def kafka(response: Response) -> Part:
        """Say whether Kafka answers."""
        return answer(response, "away" if is_silent() else OK)

    @router.get("/db", responses=NOT_SERVING)
    async def warehouse_state(response: Response) -> Part:
        """Say whether the warehouse answers."""
        return answer(response, await probes["db"].state())

    @router.get("/redis", responses=NOT_SERVING)
    async def redis_state(response: Response) -> Part:
        """Say whether the Redis of the settings answers."""
        return answer(response, await probes["redis"].state())

    return router


async def redis_state_of(settings: Settings) -> str:
    """Return ``ok`` when the Redis of the settings answers, or why not."""
    if not settings.redis_host:
        return "not configured"
    client = Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user or None,
        password=settings.redis_password or None,
        db=settings.redis_base,
        socket_connect_timeout=REDIS_WITHIN_S,
        socket_timeout=REDIS_WITHIN_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        await client.ping()
    except (exceptions.RedisError, OSError) as e:
        return f"away: {type(e).__name__}"
    finally:
        await client.aclose()
    return OK
