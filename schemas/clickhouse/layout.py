"""How the tables are laid out: on one server or a cluster, and how long each keeps its rows.

Rows are dropped part by part, once all of a part (a month or a day of rows) is too old: they may
stay up to that much longer, and dropping them costs nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.clickhouse import Migration, read_migrations
from schemas.clickhouse.cluster import Cluster

# By which time the rows of a table grow old; tables that are not here keep them for ever.
TIMES: Mapping[str, str] = {
    "trades": "ts",
    "klines": "open_time",
    "tickers": "time",
    "ticker_updates": "ts",
    "books": "time",
    "book_updates": "ts",
    "funding": "ts",
    "open_interest": "ts",
    "liquidations": "ts",
}
JOURNAL = "version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where and for how long."""

    cluster: str = ""
    """The name of the cluster in the servers' configuration; empty: one server."""
    keep_days: Mapping[str, int] = field(default_factory=dict)
    """By table of ``TIMES``; a table that is not named, or 0: for ever."""

    def plan(self, database: str) -> "Plan":
        """Return what brings a database to this layout."""
        found = read_migrations()
        if not self.cluster:
            journal = f"CREATE TABLE IF NOT EXISTS schema_migrations ({JOURNAL})"
            engine = " ENGINE = ReplacingMergeTree ORDER BY version"
            return Plan(self, quoted(database), journal + engine, found, None)
        cluster = Cluster(self.cluster, database)
        migrations = cluster.migrations(found)
        on = f"{quoted(database)} ON CLUSTER {quoted(self.cluster)}"
        return Plan(self, on, cluster.journal(JOURNAL), migrations, cluster)


@dataclass(frozen=True, slots=True)
class Plan:
    """The statements, in the order in which they are run."""

    layout: Layout
    database: str
    journal: str
    """Makes the table of what was applied."""
    migrations: tuple[Migration, ...]
    cluster: Cluster | None

    @property
    def create_database(self) -> str:
        """Make the database."""
        return f"CREATE DATABASE IF NOT EXISTS {self.database}"

    def stored_name(self, table: str) -> str:
        """Return the table that holds the rows of ``table`` on a server."""
        return self.cluster.locals[table] if self.cluster else table

    def keeping(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yield (table on a server, its TTL or nothing, the statements that give it that one)."""
        for table, column in TIMES.items():
            days = self.layout.keep_days.get(table, 0)
            if days:
                ttl = f"toDateTime({column}) + toIntervalDay({days})"
                changes = ["MODIFY SETTING ttl_only_drop_parts = 1", f"MODIFY TTL {ttl}"]
            else:
                ttl, changes = "", ["REMOVE TTL"]
            statements = tuple(self._alter(table, change) for change in changes)
            yield self.stored_name(table), ttl, statements

    def leftovers(self) -> Mapping[str, str]:
        """Return the tables on a server that no migration needs any more, and what drops each."""
        if self.cluster is None:
            return {}
        return {table: self.cluster.drop(table) for table in self.cluster.superseded}

    def script(self) -> Iterator[str]:
        """Yield every statement of a new database, for people to read."""
        yield self.create_database
        yield self.journal
        for migration in self.migrations:
            yield from migration.statements
        yield from self.leftovers().values()
        for _, ttl, statements in self.keeping():
            yield from statements if ttl else ()

    def _alter(self, table: str, change: str) -> str:
        if self.cluster:
            return self.cluster.alter(table, change)
        return f"ALTER TABLE {table} {change}"


def quoted(identifier: str) -> str:
    """Return an identifier as SQL."""
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
