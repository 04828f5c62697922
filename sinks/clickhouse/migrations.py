"""Brings a database to a layout: migrations that it has not seen, then how long rows are kept."""

from typing import Any

import structlog

from schemas.clickhouse.layout import Layout, Plan

logger = structlog.get_logger(__name__)


def migrate(client: Any, layout: Layout | None = None) -> tuple[str, ...]:
    """Apply what the database of ``client`` lacks; return the names of the migrations applied."""
    plan = (layout or Layout()).plan(client.database)
    client.command(plan.journal)
    rows = client.query("SELECT version FROM schema_migrations").result_rows
    applied = {version for (version,) in rows}
    done = []
    for migration in plan.migrations:
        if migration.version in applied:
            continue
        for statement in migration.statements:
            client.command(statement)
        client.insert(
            "schema_migrations",
            [[migration.version, migration.name]],
            column_names=["version", "name"],
        )
        logger.info("migration_applied", version=migration.version, name=migration.name)
        done.append(migration.name)
    _settle(client, plan)
    return tuple(done)


def _settle(client: Any, plan: Plan) -> None:
    """Drop what was replaced, and give every table the time that its rows are kept for."""
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    now = {name: _ttl(text) for name, text in rows}
    for table, drop in plan.leftovers().items():
        if table in now:
            client.command(drop)
    for table, ttl, statements in plan.keeping():
        if now.get(table, "") == ttl:
            continue
        for statement in statements:
            client.command(statement)
        logger.info("retention_changed", table=table, ttl=ttl or "for ever")


def _ttl(create: str) -> str:
    """Return the TTL of a table as ClickHouse writes it; nothing, where there is none."""
    _, found, rest = create.partition(" TTL ")
    return rest.partition(" SETTINGS ")[0].strip() if found else ""
