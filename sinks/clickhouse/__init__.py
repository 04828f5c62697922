"""The ClickHouse sink: topics to tables in columns, and SQL over HTTP when the engine is chDB."""

from collections.abc import Mapping, Sequence
from functools import partial

from runtime.settings import Settings
from schemas.topics import KLINES, TRADES, Topic
from sinks import metrics
from sinks.base import Batch, BatchLimits, Record, Refused
from sinks.clickhouse import kinds
from sinks.clickhouse.http import HttpEndpoint
from sinks.clickhouse.kinds import chosen
from sinks.clickhouse.klines import kline_table
from sinks.clickhouse.pace import Pace
from sinks.clickhouse.query import Queries
from sinks.clickhouse.store import ClickHouse, address_of
from sinks.clickhouse.table import Table
from sinks.clickhouse.trades import trade_table
from sinks.knobs import Knobs

TABLES = (
    Table("trades", TRADES, trade_table),
    Table("klines", KLINES, kline_table),
    *kinds.TABLES,
)


class ClickHouseSink:
    """Inserts every batch as one block a table; what is inserted twice, the tables merge."""

    name = "clickhouse"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = chosen(settings.clickhouse_tables, TABLES)
        self.topics: Sequence[Topic] = _topics(self._tables)
        self._store = ClickHouse(address_of(settings))
        self._knobs = Knobs(settings, "db_writes_enabled")
        self._pace = Pace()
        self._endpoint: HttpEndpoint | None = None
        self._facts: dict[str, object] = {}

    @property
    def limits(self) -> BatchLimits:
        """Return what the next batch may hold."""
        return self._pace.limits

    async def open(self) -> None:
        """Create the tables, and serve SQL when the engine lives here."""
        await self._knobs.open()
        await self._store.open()
        path = self._store.address.path
        if path is None:
            return
        settings = self._settings
        queries = await self._store.in_thread(lambda: Queries(path))
        self._endpoint = HttpEndpoint(
            queries, settings.clickhouse_http_host, settings.clickhouse_http_port
        )
        self._facts = {"http_port": await self._endpoint.open()}

    async def write(self, batch: Batch) -> Sequence[Refused]:
        """Insert table after table; all again when one of them has to be repeated."""
        records: dict[str, list[Record]] = {}
        for record in self._knobs.allowed(batch.records):
            records.setdefault(record.topic, []).append(record)
        refused: dict[Record, Refused] = {}
        written = 0
        for table in self._tables:
            found = records.get(table.topic.name)
            if not found:
                continue
            # Millions of numbers: not on the event loop.
            rows, unfit = await self._store.in_thread(partial(table.rows, found))
            refused |= {each.record: each for each in unfit}
            if len(rows):
                with metrics.TABLE_INSERT.labels(table.name).time():
                    await self._store.insert(table.name, rows)
                metrics.TABLE_ROWS.labels(table.name).inc(len(rows))
                written += len(rows)
        self._pace.wrote(len(batch.records), written)
        return sorted(refused.values(), key=lambda each: each.record[:3])

    async def close(self) -> None:
        """Stop answering, then close the store."""
        if self._endpoint is not None:
            await self._endpoint.close()
        await self._knobs.close()
        await self._store.close()

    def facts(self) -> Mapping[str, object]:
        """Return the port of the SQL endpoint, when there is one."""
        return self._facts


def _topics(tables: Sequence[Table]) -> Sequence[Topic]:
    return tuple({table.topic.name: table.topic for table in tables}.values())
