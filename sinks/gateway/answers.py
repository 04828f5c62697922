"""What all routes that write wishes answer when a wish cannot be obeyed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import HTTPException
from pydantic import BaseModel

from runtime.errors import Retriable
from sinks.gateway.names import NOT_FOUND

ACCEPTED = 202
UNAVAILABLE = 503

K = TypeVar("K")
V = TypeVar("V")


class Problem(BaseModel):
    """Why a request is not obeyed, and which names are near the unknown one."""

    reason: str
    near: list[str] = []


class Refusal(BaseModel):
    """The body of an error."""

    detail: Problem


ERRORS: dict[int | str, dict[str, Any]] = {
    NOT_FOUND: {"model": Refusal, "description": "Nothing of that name."},
    UNAVAILABLE: {"model": Refusal, "description": "Kafka is away."},
}


async def write_or_refuse(
    write: Callable[[Mapping[K, V]], Awaitable[None]], changes: Mapping[K, V]
) -> None:
    """Write what changes, if anything does; answer 503 where it is not certain to be obeyed."""
    if not changes:
        return
    try:
        await write(changes)
    except Retriable as e:
        detail = {"reason": f"{e.reason}; whether it will be obeyed is not known: ask again"}
        headers = {"Retry-After": f"{e.retry_after_s:.0f}"}
        raise HTTPException(UNAVAILABLE, detail, headers) from e
