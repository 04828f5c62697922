"""``/api/v1/monitoring``: health, and what the machine and the warehouse hold."""

import os
import resource
import shutil
import time
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from runtime.settings import Settings
from schemas.clickhouse.pieces import Query
from sinks.gateway.control import StreamTable
from sinks.gateway.data.tickers import newest
from sinks.gateway.hub import Hub
from sinks.gateway.warehouse import QueryTooBig, Warehouse, WarehouseAway

FRESH_MS = 60_000  # a symbol with a trade in this time is active
ASKED_EVERY_S = 5.0  # the warehouse is not asked anew for every probe
_TRADES = Query("SELECT count() AS trades FROM trades", {})
_TABLES = Query(
    "SELECT name AS table, total_rows AS rows, total_bytes AS bytes FROM system.tables"
    " WHERE database = currentDatabase() AND total_rows > 0 ORDER BY name",
    {},
)


class Health(BaseModel):
    """Whether it serves, in the words that clients of old know."""

    status: str = Field(examples=["healthy"], description="healthy, degraded or starting")
    uptime_seconds: int
    active_tickers: int = Field(description="Symbols with a trade in the last minute.")
    trades_processed_total: int | None = Field(description="Rows of trades; null: not known now.")
    clickhouse_status: str = Field(examples=["connected"])
    kafka_status: str = Field(examples=["connected"])
    websocket_connections: int
    disk_free_percent: float


class Stats(BaseModel):
    """What the process, the machine and the warehouse hold."""

    uptime_seconds: int
    process: dict[str, float]
    machine: dict[str, float]
    gateway: dict[str, int]
    clickhouse: list[dict[str, Any]] | None = Field(description="By table; null: it is away.")


def build_monitoring(
    warehouse: Warehouse,
    hub: Hub,
    table: StreamTable,
    settings: Settings,
    is_silent: Callable[[], bool],
) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/monitoring", tags=["monitoring"])
    started_s = time.monotonic()
    counted = _Sometimes(warehouse, _TRADES)
    tables = _Sometimes(warehouse, _TABLES)

    @router.get("/health")
    async def health() -> Health:
        """Say whether all parts that this one needs answer."""
        rows = await counted.rows()
        now_ms = time.time_ns() // 1_000_000
        is_whole = rows is not None and not is_silent()
        return Health(
            status="starting" if not hub.is_live else "healthy" if is_whole else "degraded",
            uptime_seconds=round(time.monotonic() - started_s),
            active_tickers=sum(at_ms > now_ms - FRESH_MS for at_ms in newest(hub).values()),
            trades_processed_total=int(rows[0]["trades"]) if rows else None,
            clickhouse_status="connected" if rows is not None else warehouse.state,
            kafka_status="away" if is_silent() else "connected",
            websocket_connections=len(hub.clients),
            disk_free_percent=_disk_free_percent(settings),
        )

    @router.get("/system-stats")
    async def stats() -> Stats:
        """Tell how much is used of what."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Stats(
            uptime_seconds=round(time.monotonic() - started_s),
            process={
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
                "memory_peak_mb": round(used.ru_maxrss / 1_024, 1),
            },
            machine={
                "cpus": float(os.cpu_count() or 0),
                "load_1m": os.getloadavg()[0],
                "disk_free_percent": _disk_free_percent(settings),
            },
            gateway={
                "websocket_connections": len(hub.clients),
                "series": len(hub.history.series),
                "streams": len(table.streams(with_removed=False)),
                "history_bytes": hub.history.bytes,
            },
            clickhouse=await tables.rows(),
        )

    return router


class _Sometimes:
    """The answer to one question, asked anew when it is old; None while nobody answers."""

    def __init__(self, warehouse: Warehouse, query: Query) -> None:
        self._warehouse = warehouse
        self._query = query
        self._rows: list[dict[str, Any]] | None = None
        self._asked_s = float("-inf")

    async def rows(self) -> list[dict[str, Any]] | None:
        if time.monotonic() - self._asked_s > ASKED_EVERY_S:
            self._asked_s = time.monotonic()
            try:
                self._rows = await self._warehouse.objects(self._query)
            except (WarehouseAway, QueryTooBig):
                self._rows = None
        return self._rows


def _disk_free_percent(settings: Settings) -> float:
    folder = settings.data_dir if settings.data_dir.exists() else "/"
    usage = shutil.disk_usage(folder)
    return round(100 * usage.free / usage.total, 1)
