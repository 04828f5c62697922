"""The query API: history, health and integrity over HTTP, also as clients of old ask for them."""

from collections.abc import Callable

from fastapi import APIRouter

from runtime.settings import Settings
from sinks.gateway.control import StreamTable
from sinks.gateway.data.integrity import build_integrity
from sinks.gateway.data.klines import build_klines
from sinks.gateway.data.monitoring import build_monitoring
from sinks.gateway.data.symbols import Symbols
from sinks.gateway.data.tickers import build_tickers
from sinks.gateway.data.trades import build_trades
from sinks.gateway.hub import Hub
from sinks.gateway.warehouse import Warehouse


def build_data(
    warehouse: Warehouse,
    hub: Hub,
    table: StreamTable,
    settings: Settings,
    is_silent: Callable[[], bool],
) -> APIRouter:
    """Return all routes below ``/api/v1``."""
    router = APIRouter(prefix="/api/v1")
    symbols = Symbols(warehouse, table, hub)
    for part in (
        build_trades(warehouse, symbols, settings),
        build_klines(warehouse, symbols, settings),
        build_integrity(warehouse),
        build_monitoring(warehouse, hub, table, settings, is_silent),
        build_tickers(hub, table),
    ):
        router.include_router(part)
    return router
