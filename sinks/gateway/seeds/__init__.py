"""What clients of other programs ask for, answered as their documents say: REST, pushes, health."""

from collections.abc import Callable

from fastapi import APIRouter

from runtime.settings import Settings
from sinks.gateway.control import StreamTable
from sinks.gateway.hub import Hub
from sinks.gateway.last import LastTrades
from sinks.gateway.seeds.finding import Finder
from sinks.gateway.seeds.health import build_health
from sinks.gateway.seeds.rest import build_prices, build_symbols
from sinks.gateway.streams import Write
from sinks.gateway.warehouse import Warehouse


def build_seeds(
    hub: Hub,
    table: StreamTable,
    write: Write,
    last: LastTrades,
    warehouse: Warehouse,
    settings: Settings,
    is_silent: Callable[[], bool],
) -> APIRouter:
    """Return all routes of old clients."""
    router = APIRouter()
    finder = Finder(table, hub)
    for part in (
        build_symbols(table, finder, write, settings.exchange),
        build_prices(finder, hub, last, warehouse, settings.exchange),
        build_health(hub, warehouse, settings, is_silent),
    ):
        router.include_router(part)
    return router
