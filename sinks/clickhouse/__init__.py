"""The ClickHouse sink: trades and candles in columns, and SQL over HTTP when the engine is chDB."""

from collections.abc import Mapping, Sequence
from functools import partial

from runtime.settings import Settings
from schemas.topics import KLINES, TRADES, Topic
from sinks.base import Batch, BatchLimits, Refused
from sinks.clickhouse.columns import kline_table, trade_table
from sinks.clickhouse.http import HttpEndpoint
from sinks.clickhouse.query import Queries
from sinks.clickhouse.store import ClickHouse, address_of
from sinks.knobs import Knobs


class ClickHouseSink:
    """Inserts every batch as one block a table; what is inserted twice, the tables merge."""

    name = "clickhouse"
    topics: Sequence[Topic] = (TRADES, KLINES)
    # Parts are dear: a few inserts a second at most, unless a backlog fills batches faster.
    limits = BatchLimits(records_max=5_000, bytes_max=16 << 20, linger_ms=300)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ClickHouse(address_of(settings))
        self._knobs = Knobs(settings, "db_writes_enabled")
        self._endpoint: HttpEndpoint | None = None
        self._facts: dict[str, object] = {}

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
        """Insert the trades, then the candles; both again when either has to be repeated."""
        refused: list[Refused] = []
        batch = self._knobs.filtered(batch)
        for topic, table, build in (
            (TRADES, "trades", trade_table),
            (KLINES, "klines", kline_table),
        ):
            records = [record for record in batch.records if record.topic == topic.name]
            if records:
                # Millions of numbers: not on the event loop.
                rows, unfit = await self._store.in_thread(partial(build, records))
                refused += unfit
                if len(rows):
                    await self._store.insert(table, rows)
        return sorted(refused, key=lambda each: each.record[:3])

    async def close(self) -> None:
        """Stop answering, then close the store."""
        if self._endpoint is not None:
            await self._endpoint.close()
        await self._knobs.close()
        await self._store.close()

    def facts(self) -> Mapping[str, object]:
        """Return the port of the SQL endpoint, when there is one."""
        return self._facts
