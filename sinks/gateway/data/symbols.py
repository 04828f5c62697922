"""Which symbols there are: those listed, those with candles in memory, those in the warehouse."""

from collections.abc import Iterator

from schemas.clickhouse.pieces import Query, Series
from sinks.gateway.control import StreamTable
from sinks.gateway.data.asked import near, refuse
from sinks.gateway.hub import Hub
from sinks.gateway.names import NOT_FOUND
from sinks.gateway.warehouse import Warehouse

_STORED = (
    "SELECT DISTINCT symbol FROM trade_spans"
    " WHERE exchange = {exchange:String} AND channel = {channel:String} LIMIT 50000"
)


class Symbols:
    """Knows what a symbol that nothing is stored of may be."""

    def __init__(self, warehouse: Warehouse, table: StreamTable, hub: Hub) -> None:
        self._warehouse = warehouse
        self._table = table
        self._hub = hub

    async def check(self, series: Series) -> None:
        """Answer 404, with the names that are alike, unless somebody knows the symbol."""
        known = set(self._heard(series))
        if series.symbol in known:
            return
        stored = Query(_STORED, {"exchange": series.exchange, "channel": series.channel})
        known |= {str(row["symbol"]) for row in await self._warehouse.objects(stored)}
        if series.symbol not in known:
            where = f"{series.exchange} {series.channel}"
            refuse(
                f"{where} has no symbol {series.symbol!r}", near(series.symbol, known), NOT_FOUND
            )

    def _heard(self, series: Series) -> Iterator[str]:
        for market, listed in self._table.instruments.items():
            if market == series[:2]:
                yield from listed
        for key in self._hub.history.series:
            if key[:2] == series[:2]:
                yield key.symbol
