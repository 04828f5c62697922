"""Answers: rows of JSON in an envelope, files, and what is said when something went wrong."""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import HTTPException, Response
from pydantic import BaseModel, Field

from sinks.gateway.answers import UNAVAILABLE, Refusal
from sinks.gateway.data.asked import MEDIA_TYPES, Format, refuse
from sinks.gateway.names import NOT_FOUND
from sinks.gateway.warehouse import QueryTooBig, WarehouseAway

CLICKHOUSE_FORMATS: dict[Format, str] = {
    "csv": "CSVWithNames",
    "arrow": "ArrowStream",
    "parquet": "Parquet",
}
CURSOR_HEADER = "x-next-cursor"
FILES: dict[str, Any] = {MEDIA_TYPES[name]: {} for name in ("csv", "arrow", "parquet")}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    NOT_FOUND: {"model": Refusal, "description": "Nothing of that name; `near` has what is alike."},
    422: {"model": Refusal, "description": "What cannot be meant, and the way out."},
    UNAVAILABLE: {"model": Refusal, "description": "The warehouse is away: see Retry-After."},
}


class Rows(BaseModel):
    """Rows, oldest first. Numbers are exact: read them as decimals."""

    success: bool = True
    data: list[dict[str, Any]]
    message: str = Field(examples=["Retrieved 1000 trades"])
    next_cursor: str | None = Field(description="For the next page; null: there is none.")


def rows_answer(what: str, rows: Sequence[str], cursor: str | None) -> Response:
    """Return rows of JSON text in the envelope of every answer, as they are."""
    head = '{"success":true,"data":['
    message = orjson.dumps(f"Retrieved {len(rows)} {what}").decode()
    tail = f'],"message":{message},"next_cursor":{orjson.dumps(cursor).decode()}}}'
    return Response(head + ",".join(rows) + tail, media_type=MEDIA_TYPES["json"])


def file_answer(name: str, body: bytes, kind: Format, cursor: str | None) -> Response:
    """Return a table as a file; the next page's cursor is a header."""
    headers = {"content-disposition": f'attachment; filename="{_plain(name)}.{kind}"'}
    if cursor is not None:
        headers[CURSOR_HEADER] = cursor
    return Response(body, headers=headers, media_type=MEDIA_TYPES[kind])


def failure(e: WarehouseAway | QueryTooBig) -> HTTPException:
    """Return what to answer when the warehouse does not."""
    if isinstance(e, QueryTooBig):
        try:
            refuse(f"{e}: ask for a shorter span or a smaller limit")
        except HTTPException as refusal:
            return refusal
    detail = {"reason": f"{e}; ask again", "near": []}
    retry_after = str(max(1, round(e.retry_after_s))) if isinstance(e, WarehouseAway) else "1"
    return HTTPException(UNAVAILABLE, detail, {"Retry-After": retry_after})


def _plain(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.@") else "-" for c in name)
