"""The routes of keys and tokens: ``/api/v1/keys``, ``/api/v1/tokens``, ``/api/v1/whoami``.

A key is in the answer that made it, and nowhere after.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import msgspec
import structlog
from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, Field

from runtime.errors import Retriable
from schemas.keys import ApiKey, RoleName, TokenFamily
from sinks.gateway.answers import ERRORS, UNAVAILABLE
from sinks.gateway.security import metrics
from sinks.gateway.security.denied import NOT_FOUND, UNKNOWN, Denied
from sinks.gateway.security.doorkeeper import Caller, Doorkeeper
from sinks.gateway.security.families import REUSED
from sinks.gateway.security.keys import KEYS_MAX, KeyTable, make_key
from sinks.gateway.security.tokens import Pair

logger = structlog.get_logger(__name__)

CREATED = 201
CONFLICT = 409
DAY_MS = 24 * 3_600_000
NAME_FORM = r"^[\w .@+-]{1,64}$"

T = TypeVar("T")
Write = Callable[[ApiKey], Awaitable[None]]
WriteUse = Callable[[TokenFamily], Awaitable[None]]
KeyId = Annotated[str, Path(min_length=1, max_length=64, examples=["0123456789ab"])]


class NewKey(BaseModel, extra="forbid"):
    """A key as somebody wants it."""

    name: str = Field(pattern=NAME_FORM, examples=["desk-3"])
    role: RoleName = "viewer"
    expires_in_days: int | None = Field(None, ge=1, le=3_650)


class KeyView(BaseModel):
    """A key without what opens anything."""

    id: str
    name: str
    role: RoleName
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    alive: bool


class MadeKey(KeyView):
    """A key that was just made, and this once the key itself."""

    key: str


class KeyList(BaseModel):
    """Keys in the order in which they were made."""

    count: int
    keys: list[KeyView]


class TokenPair(BaseModel):
    """An access token, and one to get the next pair with."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - a word of RFC 6749
    expires_in_s: int


class Refresh(BaseModel, extra="forbid"):
    """A refresh token."""

    refresh_token: str = Field(min_length=1, max_length=4_096)


class CallerView(BaseModel):
    """Who calls."""

    key_id: str
    name: str
    role: str


def build_keys(table: KeyTable, write: Write, doorkeeper: Doorkeeper) -> APIRouter:
    """Return the routes of keys, all of them an admin's."""
    router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

    @router.get("")
    async def keys() -> KeyList:
        """List every key, also those that open nothing any more."""
        listed = sorted(table.keys.values(), key=lambda key: (key.created_ms, key.id))
        return KeyList(count=len(listed), keys=[_view(key) for key in listed])

    @router.post("", status_code=CREATED, responses=ERRORS)
    async def create(new: NewKey) -> MadeKey:
        """Make a key; it is shown this once."""
        if doorkeeper.is_open and new.role != "admin":
            raise _refusal(CONFLICT, "the first key has to be an admin's: it makes the others")
        if len(table.keys) >= KEYS_MAX:
            raise _refusal(CONFLICT, f"there are {KEYS_MAX} keys: no more are allowed")
        now_ms = _now_ms()
        days = new.expires_in_days
        expires_ms = None if days is None else now_ms + days * DAY_MS
        text, key = make_key(new.name, new.role, now_ms, expires_ms)
        await _written(write, key)
        return MadeKey(**_view(key).model_dump(), key=text)

    @router.delete("/{key_id}", responses=ERRORS)
    async def revoke(key_id: KeyId) -> KeyView:
        """Let a key, its tokens and its connections open nothing any more."""
        key = table.keys.get(key_id)
        if key is None:
            raise _refusal(NOT_FOUND, f"there is no key {key_id!r}")
        if key.revoked_ms is not None:
            return _view(key)
        if _is_last_admin(table, key) and not doorkeeper.has_admin:
            raise _refusal(CONFLICT, "it is the last admin key: make another one first")
        revoked = msgspec.structs.replace(key, revoked_ms=_now_ms())
        await _written(write, revoked)
        return _view(revoked)

    return router


def build_tokens(doorkeeper: Doorkeeper, write_use: WriteUse) -> APIRouter:
    """Return the routes of tokens."""
    router = APIRouter(prefix="/api/v1", tags=["keys"])

    @router.post("/tokens")
    async def tokens(request: Request) -> TokenPair:
        """Get tokens for the key that is shown: they stand for it, and end with it."""
        with _refusing():
            return _pair(doorkeeper.tokens_for(_caller(request), time.time()))

    @router.post("/tokens/refresh", responses=ERRORS)
    async def refresh(old: Refresh) -> TokenPair:
        """Get new tokens for a refresh token, once: used twice, it ends all that came of it."""
        with _refusing():
            use = doorkeeper.use(old.refresh_token, secrets.token_hex(8), time.time())
            if (idle := doorkeeper.pushed_out(use)) is not None:
                await _written(write_use, idle, "try again")
                logger.info("token_family_pushed_out", key_id=idle.key_id, family=idle.id)
            await _written(write_use, use, "show the key")
            if not doorkeeper.is_first(use):
                if not use.ended:  # compaction keeps the last word: it has to be this one
                    await _written(write_use, msgspec.structs.replace(use, ended=True), "")
                logger.warning("refresh_token_reused", key_id=use.key_id, family=use.id)
                raise Denied(UNKNOWN, REUSED, kind="token_reused")
            return _pair(doorkeeper.refreshed(old.refresh_token, time.time()))

    @router.get("/whoami")
    async def whoami(request: Request) -> CallerView:
        """Say who calls, as the gateway sees it."""
        caller = _caller(request)
        return CallerView(key_id=caller.key_id, name=caller.name, role=caller.role.text)

    return router


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


@contextmanager
def _refusing() -> Iterator[None]:
    """Answer what is denied inside the block."""
    try:
        yield
    except Denied as e:
        metrics.DENIED.labels(e.kind).inc()
        raise HTTPException(e.status, {"reason": e.reason, "near": []}, dict(e.headers)) from e


def _pair(pair: Pair) -> TokenPair:
    return TokenPair(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in_s=pair.expires_in_s,
    )


async def _written(
    write: Callable[[T], Awaitable[None]], record: T, remedy: str = "list the keys"
) -> None:
    try:
        await write(record)
    except Retriable as e:
        reason = f"{e.reason}; whether it will be obeyed is not known: {remedy}"
        raise _refusal(UNAVAILABLE, reason) from e


def _is_last_admin(table: KeyTable, key: ApiKey) -> bool:
    now_ms = _now_ms()
    admins = {k.id for k in table.keys.values() if k.role == "admin" and k.is_alive(now_ms)}
    return admins == {key.id}


def _refusal(status: int, reason: str) -> HTTPException:
    return HTTPException(status, {"reason": reason, "near": []})


def _view(key: ApiKey) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        role=key.role,
        created_ms=key.created_ms,
        expires_ms=key.expires_ms,
        revoked_ms=key.revoked_ms,
        alive=key.is_alive(_now_ms()),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
