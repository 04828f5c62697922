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
from schemas.clickhouse import read_migrations

logger = structlog.get_logger(__name__)

URL = "STREAMER_CLICKHOUSE_URL"
EMBEDDED_DATABASE = "market"  # chDB's own `default` looks into the file system
TRIES_MAX = 5
TRY_INTERVAL_S = 1.0
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60
RETRY_AFTER_S = 1.0
# One batch of a backfill may hold more months than the 100 that a block is allowed by default;
# refused, it would be repeated for ever.
INSERT_SETTINGS = {"max_partitions_per_insert_block": 0}

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

    def __str__(self) -> str:
        if self.path is not None:
            return f"chDB in {self.path}"
        return f"{self.options['interface']}://{self.options['host']}:{self.options['port']}"


def address_of(settings: Settings) -> Address:
    """Return where the settings point to; raise Misconfigured for a URL that is none."""
    url = settings.clickhouse_url
    if not url:
        path = settings.data_dir.resolve() / "clickhouse"
        return Address(database=EMBEDDED_DATABASE, path=path)
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
    return Address(database=parts.path.strip("/") or "default", options=options)


class ClickHouse:
    """One client and its thread."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse")
        self._client: Any = None

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
            await self.in_thread(
                lambda: self._client.insert_arrow(table, rows, settings=INSERT_SETTINGS)
            )
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
            options: dict[str, Any] = {"interface": "chdb", "path": str(self.address.path)}
        else:
            options = self.address.options
        client = clickhouse_connect.get_client(**options)
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(self.address.database)}")
            client.database = self.address.database
            migrate(client)
        except BaseException:
            client.close()
            raise
        self._client = client

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


def migrate(client: Any) -> None:
    """Apply the migrations that the database has not seen."""
    client.command(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32, name String,"
        " applied_at DateTime64(3, 'UTC') DEFAULT now64(3))"
        " ENGINE = ReplacingMergeTree ORDER BY version"
    )
    rows = client.query("SELECT version FROM schema_migrations").result_rows
    applied = {version for (version,) in rows}
    for migration in read_migrations():
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


def quoted(identifier: str) -> str:
    """Return an identifier as SQL."""
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _sorted(e: ClickHouseError) -> Exception:
    code = getattr(e, "code", None)
    # Without a code nothing of ClickHouse's answered: a connection, a proxy, a half answer.
    network = code is None and isinstance(e, (OperationalError, DatabaseError))
    if code in AWAY or network:
        return Retriable(f"ClickHouse: {e}", retry_after_s=RETRY_AFTER_S)
    return e
