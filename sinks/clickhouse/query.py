"""Queries of strangers on the sink's own chDB engine, each in a session of its own.

A session is one chDB connection: it is limited, then made read-only, then used once. It never
shares the sink's thread, so a slow query does not delay an insert.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from schemas.clickhouse.layout import quoted
from sinks.clickhouse.sql import Refusal, Statement, checked, text_literal
from sinks.clickhouse.store import EMBEDDED_DATABASE

# The most that one query may take; a request may ask for less.
LIMITS = {
    "max_execution_time": 30,  # seconds
    "max_result_rows": 2_000_000,
    "max_result_bytes": 256 << 20,
    "max_memory_usage": 2 << 30,  # bytes
    "max_threads": 2,
}
# Settings of presentation that a request may choose.
CHOICES = re.compile(
    r"output_format_\w+|format_(csv|tsv|json|custom|template|regexp)_\w+|extremes|final|limit|offset"
    r"|date_time_(in|out)put_format|cast_string_to_dynamic_use_inference|session_timezone"
    r"|join_use_nulls|max_block_size|use_client_time_zone|result_overflow_mode|union_default_mode"
)
_CODE = re.compile(r"Code: (\d+)\. ")

SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
TOO_MANY_QUERIES = 202


class QueryFailed(Exception):  # noqa: N818 - reads as what happened
    """ClickHouse's answer when there is no result; ``code`` is ClickHouse's own."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """A result in the format asked for, and what it took."""

    body: bytes
    output_format: str
    summary: str


class Queries:
    """Runs one statement after another, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        with chdb.connect(self._path) as session:
            names = session.query("SELECT lower(name) FROM system.table_functions", "TSVRaw")
            self._table_functions = set(names.bytes().decode().split())
            timezone = session.query("SELECT timezone()", "TSVRaw")
            self.timezone = timezone.bytes().decode().strip()

    def run(
        self,
        sql: str,
        *,
        default_format: str,
        database: str = "",
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
    ) -> Answer:
        """Return the result of one reading statement; raise QueryFailed."""
        chosen = ", ".join(f"{name} = {value}" for name, value in _limited(settings).items())
        started_ns = time.monotonic_ns()
        with chdb.connect(self._path) as session:
            try:
                session.query(f"USE {quoted(database or EMBEDDED_DATABASE)}")
                session.query(f"SET {chosen}")
                session.query("SET readonly = 1")
                statement = self._checked(session, sql, parameters)
                result = session.query(statement.text, default_format, params=dict(parameters))
                body = result.bytes() or b""
            except RuntimeError as e:  # what chDB raises for every error of the engine
                raise _failed(str(e)) from e
            except Refusal as e:
                raise QueryFailed(f"Code: {READONLY}. DB::Exception: {e}.", READONLY) from e
        summary = {
            "read_rows": str(result.rows_read()),
            "read_bytes": str(result.bytes_read()),
            "elapsed_ns": str(time.monotonic_ns() - started_ns),
        }
        return Answer(body, statement.output_format or default_format, json.dumps(summary))

    def _checked(self, session: Any, sql: str, parameters: Mapping[str, str]) -> Statement:
        formatted = session.query(f"SELECT formatQuerySingleLine({text_literal(sql)})", "RawBLOB")
        canonical = formatted.bytes().decode()
        return checked(canonical, self._table_functions, dict(parameters))


def _limited(settings: Mapping[str, str]) -> dict[str, str]:
    limited = {name: str(limit) for name, limit in LIMITS.items()}
    limited["result_overflow_mode"] = text_literal("throw")
    for name, value in settings.items():
        if name in LIMITS:
            asked = int(value) if value.isascii() and value.isdigit() else 0
            limited[name] = str(min(asked or LIMITS[name], LIMITS[name]))
        elif CHOICES.fullmatch(name):
            limited[name] = text_literal(value)
        else:
            message = f"Code: {UNKNOWN_SETTING}. DB::Exception: Setting {name} cannot be set here."
            raise QueryFailed(message, UNKNOWN_SETTING)
    return limited


def _failed(message: str) -> QueryFailed:
    code = _CODE.search(message)
    start = code.start() if code else 0
    return QueryFailed(message[start:], int(code[1]) if code else None)
