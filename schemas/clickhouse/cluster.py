"""The same migrations for a cluster: Replicated* tables on every shard, Distributed ones over them.

A table ``x`` is ``x_local_0007`` on each server, named after the migration that made it, and ``x``
itself reads and writes them all: queries, views and inserts are the same as on one server. A symbol
lives on one shard, so that rows which replace each other meet.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.clickhouse import Migration

CLUSTER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
SHARDING = "cityHash64(exchange, channel, symbol)"

_TABLE = re.compile(
    r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE TABLE) (?P<name>\w+)\s*(?P<columns>\(.*?\n\))\s*"
    r"ENGINE = (?P<engine>\w*MergeTree)(?:\((?P<arguments>[^)]*)\))?"
    r"(?P<rest>.*?)(?:\nAS (?P<select>SELECT\b.*))?",
    re.DOTALL,
)
_ALTER = re.compile(r"ALTER TABLE (?P<name>\w+)(?P<rest>\s.*)", re.DOTALL)
_VIEW = re.compile(
    r"(?P<head>CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?\w+)(?P<rest> AS\s.*)", re.DOTALL
)
_FILLER = re.compile(
    r"(?P<head>CREATE MATERIALIZED VIEW IF NOT EXISTS \w+) TO (?P<to>\w+) AS(?P<select>\s.*)",
    re.DOTALL,
)
_FILL = re.compile(r"INSERT INTO (?P<name>\w+)\s+(?P<select>SELECT\b.*)", re.DOTALL)
_DROP = re.compile(r"DROP (?P<kind>TABLE|VIEW) IF EXISTS (?P<name>\w+)")
_SELECTED = re.compile(r"SELECT\s+(.*?)\s+FROM\s", re.DOTALL)
_SOURCE = re.compile(r"(?<=\bFROM )(\w+)")


class NotForCluster(ValueError):  # noqa: N818 - reads as the claim it makes
    """A statement in a form for which there is no rule here."""


class Cluster:
    """Writes statements anew, one after another; knows which local table stands behind a name."""

    def __init__(self, cluster: str, database: str) -> None:
        if not CLUSTER_NAME.fullmatch(cluster):
            raise ValueError(f"{cluster!r} is no name of a cluster")
        self._cluster = cluster
        self._on = f"ON CLUSTER `{cluster}`"
        self._database = database.replace("\\", "\\\\").replace("'", "\\'")
        self._locals: dict[str, str] = {}
        self._superseded: list[str] = []

    @property
    def locals(self) -> Mapping[str, str]:
        """The table on each server behind a name, as far as ``migrations`` has come."""
        return self._locals

    @property
    def superseded(self) -> Sequence[str]:
        """Tables on each server that later ones replaced.

        They go when all is done: a migration that is repeated reads them.
        """
        return self._superseded

    def journal(self, columns: str) -> str:
        """Return the statement of the table that notes what was applied, the same everywhere."""
        path = "/clickhouse/tables/{database}/schema_migrations"
        return (
            f"CREATE TABLE IF NOT EXISTS schema_migrations {self._on} ({columns})"
            f" ENGINE = ReplicatedReplacingMergeTree('{path}', '{{shard}}-{{replica}}')"
            " ORDER BY version"
        )

    def migrations(self, migrations: Iterable[Migration]) -> tuple[Migration, ...]:
        """Return the migrations, oldest first, in the cluster's words."""
        return tuple(
            Migration(
                each.version,
                each.name,
                tuple(s for one in each.statements for s in self._statements(one, each.version)),
            )
            for each in migrations
        )

    def alter(self, table: str, change: str) -> str:
        """Return the change of what stands behind a table."""
        return f"ALTER TABLE {self._locals[table]} {self._on} {change}"

    def _statements(self, statement: str, version: int) -> Iterator[str]:
        if found := _TABLE.fullmatch(statement):
            yield from self._table(found, version)
        elif found := _ALTER.fullmatch(statement):
            yield self.alter(found["name"], found["rest"].strip())
            yield self._distributed(found["name"])
        elif found := _VIEW.fullmatch(statement):
            yield f"{found['head']} {self._on}{found['rest']}"
        elif found := _FILLER.fullmatch(statement):
            select = _SOURCE.sub(lambda source: self._locals[source[1]], found["select"])
            yield f"{found['head']} {self._on} TO {self._locals[found['to']]} AS{select}"
        elif found := _FILL.fullmatch(statement):
            settings = "SETTINGS distributed_foreground_insert = 1"
            yield f"INSERT INTO {found['name']} {settings} {found['select']}"
        elif found := _DROP.fullmatch(statement):
            yield f"{found[0]} {self._on} SYNC"
            if local := self._locals.pop(found["name"], None):
                self._superseded.append(local)
        else:
            raise NotForCluster(statement)

    def _table(self, found: re.Match[str], version: int) -> Iterator[str]:
        name, before = found["name"], self._locals.get(found["name"])
        local = self._locals[name] = f"{name}_local_{version:04}"
        place = f"'/clickhouse/tables/{{shard}}/{{database}}/{local}', '{{replica}}'"
        arguments = ", ".join(filter(None, (place, found["arguments"])))
        yield (
            f"CREATE TABLE IF NOT EXISTS {local} {self._on}\n{found['columns']}\n"
            f"ENGINE = Replicated{found['engine']}({arguments}){found['rest']}"
        )
        if found["select"]:
            yield self._copied(local, found["select"])
        yield self._distributed(name)
        if before is not None:
            self._superseded.append(before)

    def _copied(self, local: str, select: str) -> str:
        # A table made AS SELECT takes columns by their names, an insert by their places.
        selected = _SELECTED.match(select)
        if selected is None:
            raise NotForCluster(select)
        columns = ", ".join(re.findall(r"(\w+)\s*(?:,|$)", selected[1]))
        to = f"'{self._cluster}', '{self._database}', '{local}', {SHARDING}"
        return f"INSERT INTO FUNCTION cluster({to}) ({columns})\n{select}"

    def _distributed(self, name: str) -> str:
        local = self._locals[name]
        over = f"'{self._cluster}', '{self._database}', '{local}', {SHARDING}"
        # It holds no rows, so it may be made anew whenever its columns change.
        create = f"CREATE OR REPLACE TABLE {name} {self._on} AS {local}"
        return f"{create} ENGINE = Distributed({over})"

    def drop(self, local: str) -> str:
        """Return the statement that removes a table from every server."""
        return f"DROP TABLE IF EXISTS {local} {self._on} SYNC"
