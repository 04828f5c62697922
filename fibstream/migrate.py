"""``fibstream migrate``: make or upgrade the ClickHouse tables, or show the SQL of it."""

import asyncio
from collections.abc import Iterator

from runtime.settings import Settings
from sinks.clickhouse.layout import layout_of
from sinks.clickhouse.store import ClickHouse, address_of


def script(settings: Settings) -> Iterator[str]:
    """Yield the statements of a new database; no server is asked."""
    database = address_of(settings.model_copy(update={"clickhouse_cluster": ""})).database
    for statement in layout_of(settings).plan(database).script():
        yield f"{statement};\n"


def migrate(settings: Settings) -> tuple[str, ...]:
    """Bring the database of the settings up to date; return the migrations that it lacked."""
    return asyncio.run(_migrate(settings))


async def _migrate(settings: Settings) -> tuple[str, ...]:
    store = ClickHouse(address_of(settings))
    try:
        await store.open()
        return store.applied
    finally:
        await store.close()
