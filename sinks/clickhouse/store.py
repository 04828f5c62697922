"""ClickHouse through clickhouse-connect: chDB in this process, or a server by its URL.

Every call runs in one thread of its own, never on the event loop: an insert may take as long as a
disk does, and one handle serves one call at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
import structlog
from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DatabaseError,
    OperationalError,
)

from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings
from schemas.clickhouse.layout import Layout
from sinks.clickhouse.layout import embedded_layout, layout_of
from sinks.clickhouse.migrations import migrate

logger = structlog.get_logger(__name__)

URL = "STREAMER_CLICKHOUSE_URL"
EMBEDDED_DATABASE = "market"  # chDB's own `default` looks into the file system
TRIES_MAX = 5
TRY_INTERVAL_S = 1.0
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60
MIGRATION_TIMEOUT_S = 12 * 3_600  # one may write every row anew
RETRY_AFTER_S = 1.0
INSERT_SETTINGS = {
    # One batch of a backfill may hold more months than the 100 that a block is allowed by default;
    # refused, it would be repeated for ever.
    "max_partitions_per_insert_block": 0,
    # Rows of equal key are merged later and by FINAL, as those of two inserts are: looking for them
    # within each block costs about as much as all the rest of an insert.
    "optimize_on_insert": 0,
    # On a cluster rows are on their shard before Kafka is told.
    "distributed_foreground_insert": 1,
}

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
AWAY = {
    *(75, 76, 243),  # files cannot be written, disk full
    *(159, 160, 209, 210, 279, 425),  # timeouts, network
    *(202, 236, 241, 252, 439, 473),  # too busy: queries, memory, parts, locks
    *(242, 225, 286, 319, 999),  # a replica that takes no writes for now
    *(1000, 1001),  # the libraries below
}
REFUSES = {192, 193, 194, 497, 516}  # user, password, access

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the store is; ``path`` set means chDB in that folder."""

    database: str
    path: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)
    layout: Layout = field(default_factory=Layout)

    def __str__(self) -> str:
        if self.path is not None:
            return f"chDB in {self.path}"
        return f"{self.options['interface']}://{self.options['host']}:{self.options['port']}"


def address_of(settings: Settings) -> Address:
    """Return where the settings point to; raise Misconfigured for a URL that is none."""
    url = settings.clickhouse_url
    if not url:
        path = settings.data_dir.resolve() / "clickhouse"
        layout = embedded_layout(settings)
        return Address(database=EMBEDDED_DATABASE, path=path, layout=layout)
    remedy = "Write http://user:password@host:8123/database, or leave it empty for chDB."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise Misconfigured(URL, f"it is not a URL: {e}", remedy=remedy) from e
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(URL, "it is not an http:// or https:// URL", remedy=remedy)
    options = {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": port or (8443 if parts.scheme == "https" else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "connect_timeout": CONNECT_TIMEOUT_S,
        "send_receive_timeout": ANSWER_TIMEOUT_S,
        "query_retries": 0,
        "autogenerate_session_id": False,
    }
    database = parts.path.strip("/") or "default"
    return Address(database=database, options=options, layout=layout_of(settings))


class ClickHouse:
    """One client and its thread."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse")
        self._client: Any = None
        self.applied: tuple[str, ...] = ()
        """The migrations that ``open`` found missing."""

    async def open(self, *, tries_max: int = TRIES_MAX) -> None:
        """Connect and bring the tables up to date; raise Misconfigured when that cannot be."""
        reason: Exception | None = None
        for attempt in range(tries_max):
            if attempt:
                logger.warning("clickhouse_awaited", address=str(self.address), reason=str(reason))
                await asyncio.sleep(TRY_INTERVAL_S)
            try:
                await self.in_thread(self._connect)
            except (ClickHouseError, OSError) as e:
                reason = e
                if getattr(e, "code", None) in REFUSES:
                    break
            else:
                return
        raise self._unreachable(str(reason)) from reason

    async def insert(self, table: str, rows: pa.Table) -> None:
        """Insert the columns of ``rows``; raise Retriable while the store is away."""
        try:
            await self.in_thread(lambda: insert(self._client, table, rows))
        except ClickHouseError as e:
            raise _sorted(e) from e

    async def close(self) -> None:
        """Close the client; an insert that runs is waited for."""
        client, self._client = self._client, None
        if client is not None:
            await self.in_thread(client.close)
        self._thread.shutdown(wait=False)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the store's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connect(self) -> None:
        if self.address.path is not None:
            self.address.path.mkdir(parents=True, exist_ok=True)
            self._client = self._migrated({"interface": "chdb", "path": str(self.address.path)})
            return
        options = self.address.options
        self._migrated({**options, "send_receive_timeout": MIGRATION_TIMEOUT_S}).close()
        self._client = clickhouse_connect.get_client(**options, database=self.address.database)

    def _migrated(self, options: dict[str, Any]) -> Any:
        """Return a client of the database, which is up to date."""
        client = clickhouse_connect.get_client(**options)
        try:
            client.command(self.address.layout.plan(self.address.database).create_database)
            client.database = self.address.database
            self.applied = migrate(client, self.address.layout)
        except BaseException:
            client.close()
            raise
        return client

    def _unreachable(self, reason: str) -> Misconfigured:
        if self.address.path is not None:
            return Misconfigured(
                "STREAMER_DATA_DIR",
                f"chDB cannot open {self.address.path}: {reason}",
                remedy="Another process may use the folder, or it cannot be written; "
                "stop that process, or set another folder.",
            )
        return Misconfigured(
            URL,
            f"no ClickHouse that can be used at {self.address}: {reason}",
            remedy="Start the server, correct address, user and password, "
            "or leave it empty for the embedded chDB.",
        )


def insert(client: Any, table: str, rows: pa.Table) -> None:
    """Insert columns by their names: the same bytes to chDB and to a server."""
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    names = rows.schema.names
    # Not ``insert_arrow``: it compresses, which costs more than it saves on the way to a neighbour.
    client.raw_insert(table, names, memoryview(stream.getvalue()), INSERT_SETTINGS, "ArrowStream")


def _sorted(e: ClickHouseError) -> Exception:
    code = getattr(e, "code", None)
    # Without a code nothing of ClickHouse's answered: a connection, a proxy, a half answer.
    network = code is None and isinstance(e, (OperationalError, DatabaseError))
    if code in AWAY or network:
        return Retriable(f"ClickHouse: {e}", retry_after_s=RETRY_AFTER_S)
    return e
