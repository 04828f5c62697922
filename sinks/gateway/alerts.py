"""The routes that edit alerts: ``/api/v1/alerts``. What they answer holds no secret of a target.

Bodies are read by hand: a framework's error would repeat the body, and with it the secrets.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import BaseModel, Field

from schemas.alerts import BadRule, Rule, decode_rule_input
from sinks.alerts import targets
from sinks.gateway.alert_rules import RULES_MAX, AlertTable
from sinks.gateway.answers import ACCEPTED, ERRORS, write_or_refuse
from sinks.gateway.names import NEAR_MAX, NOT_FOUND, UNPROCESSABLE

BODY_BYTES_MAX = 64 << 10
TOO_LARGE = 413
TESTS_AT_A_TIME = 4

Write = Callable[[Mapping[str, Rule | None]], Awaitable[None]]
Send = Callable[[str, str, str], Awaitable[str]]
Id = Annotated[str, Path(min_length=1, max_length=64)]

_RULE = msgspec.json.schema(Rule)
_EXAMPLE = {
    "data_type": "price-crosses",
    "id": "btc-100k",
    "exchange": "binance",
    "channel": "linear",
    "symbol": "BTCUSDT",
    "level": 100_000,
    "direction": "up",
    "to": ["tgram://TOKEN/CHAT"],
}
_BODY = {"content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}}}


class AlertView(BaseModel, extra="allow"):
    """A rule with the fields of its kind (docs/alerts.md), its targets masked."""

    data_type: str = Field(examples=["price-crosses"])
    id: str
    to: list[str] = Field(examples=[["tgram://****"]])
    enabled: bool
    changed_ms: int
    fired_ms: int | None = Field(description="When it was told last.")
    active: list[str] = Field(description="Subjects that crossed and did not go back; 100 of them.")
    crossings: int
    waiting: int = Field(description="Crossings that are not delivered to all targets yet.")


class AlertList(BaseModel):
    """Rules in order of their ids."""

    count: int
    alerts: list[AlertView]


class Delivery(BaseModel):
    """What became of a test message to one target."""

    to: str
    ok: bool
    reason: str = ""


class TestResult(BaseModel):
    """What became of a test message."""

    id: str
    ok: bool
    deliveries: list[Delivery]


def build_alerts(table: AlertTable, write: Write, send: Send = targets.send) -> APIRouter:
    """Return the routes over what the table knows."""
    router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])
    testing = asyncio.Semaphore(TESTS_AT_A_TIME)

    @router.get("")
    async def alerts() -> AlertList:
        """List the rules."""
        views = [_view(table, rule) for _, rule in sorted(table.rules.items())]
        return AlertList(count=len(views), alerts=views)

    @router.post("", responses=ERRORS, openapi_extra={"requestBody": _BODY})
    async def add(request: Request, response: Response) -> AlertView:
        """Write a rule, or change it (without `to` it keeps its targets); 200: it is so already."""
        rule = await _read(request, table)
        known = table.rules.get(rule.id)
        if (
            known is not None
            and msgspec.structs.replace(rule, changed_ms=known.changed_ms) == known
        ):
            return _view(table, known)
        if known is None and len(table.rules) >= RULES_MAX:
            raise _refusal(f"there are {RULES_MAX} rules, and no more are allowed")
        rule = msgspec.structs.replace(rule, changed_ms=time.time_ns() // 1_000_000)
        await write_or_refuse(write, {rule.id: rule})
        response.status_code = ACCEPTED
        return _view(table, rule)

    @router.get("/{rule_id}", responses=ERRORS)
    async def alert(rule_id: Id) -> AlertView:
        """Show a rule."""
        return _view(table, _known(table, rule_id))

    @router.delete("/{rule_id}", responses=ERRORS)
    async def remove(rule_id: Id) -> AlertView:
        """Forget a rule, and what it has not delivered yet."""
        view = _view(table, _known(table, rule_id))
        await write_or_refuse(write, {rule_id: None})
        return view

    @router.post("/{rule_id}/test", responses=ERRORS)
    async def test(rule_id: Id) -> TestResult:
        """Send a test message to every target of a rule, now and from here."""
        rule = _known(table, rule_id)
        async with testing:
            body = f"This is a test of {rule.id}: nothing has crossed."
            sent = (send(url, f"{rule.id}: test", body) for url in rule.to)
            reasons = await asyncio.gather(*sent)
        told = [
            Delivery(to=targets.masked(url), ok=not reason, reason=reason)
            for url, reason in zip(rule.to, reasons, strict=True)
        ]
        return TestResult(id=rule.id, ok=all(each.ok for each in told), deliveries=told)

    return router


async def _read(request: Request, table: AlertTable) -> Rule:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _refusal(f"a rule has at most {BODY_BYTES_MAX} bytes", status=TOO_LARGE)
    try:
        rule = decode_rule_input(_with_targets(bytes(body), table))
    except BadRule as e:
        raise _refusal(str(e)) from None
    for url in rule.to:
        if problem := targets.problem(url):
            raise _refusal(f"to: {problem}")
    return rule


class _Named(msgspec.Struct):
    id: Any = None
    to: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _with_targets(body: bytes, table: AlertTable) -> bytes:
    """Return the rule with the targets that it has, where it names none."""
    try:
        named = msgspec.json.decode(body, type=_Named)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return body  # why it is no rule will be told when it is read
    known = table.rules.get(str(named.id))
    if known is None or named.to is not msgspec.UNSET:
        return body
    # Not decoded and encoded again: a level would pass through a float.
    return body.rstrip().removesuffix(b"}") + b',"to":' + msgspec.json.encode(known.to) + b"}"


def _known(table: AlertTable, rule_id: str) -> Rule:
    rule = table.rules.get(rule_id)
    if rule is None:
        near = get_close_matches(rule_id, table.rules, NEAR_MAX, 0.5)
        raise _refusal(f"no alert {rule_id!r}", near, NOT_FOUND)
    return rule


def _view(table: AlertTable, rule: Rule) -> AlertView:
    return AlertView(**table.view(rule))


def _refusal(
    reason: str, near: list[str] | None = None, status: int = UNPROCESSABLE
) -> HTTPException:
    detail: dict[str, Any] = {"reason": reason, "near": near or []}
    return HTTPException(status, detail)
