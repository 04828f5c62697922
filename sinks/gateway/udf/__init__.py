"""TradingView's Universal Data Feed, with any number of minutes as a resolution."""

from fastapi import APIRouter

from runtime.settings import Settings
from sinks.gateway.control import StreamTable
from sinks.gateway.data.symbols import Symbols
from sinks.gateway.hub import Hub
from sinks.gateway.udf.bars import Bars
from sinks.gateway.udf.routes import build_catalogue, build_history
from sinks.gateway.udf.symbols import Listings
from sinks.gateway.warehouse import Warehouse


def build_udf(warehouse: Warehouse, hub: Hub, table: StreamTable, settings: Settings) -> APIRouter:
    """Return all routes below ``/udf``."""
    router = APIRouter()
    stored = Symbols(warehouse, table, hub)
    listings = Listings(table, hub, stored, settings.exchange)
    bars = Bars(hub, warehouse)
    router.include_router(build_catalogue(listings, hub, bars))
    router.include_router(build_history(listings, bars, settings.query_json_rows_max))
    return router
