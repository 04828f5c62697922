"""Whether one call is let in: address, rate, endpoint, caller, role - in this order.

An open gateway (no keys) believes only calls that come straight from this machine: a page of
another site in a browser here, a name that points here, a proxy: none of them is the operator.
"""

import time
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

from sinks.gateway.security.addresses import (
    client_address,
    is_loopback,
    is_within,
    limited_as,
    parse_address,
)
from sinks.gateway.security.credentials import Shown, in_headers, in_query
from sinks.gateway.security.denied import (
    BAD,
    FORBIDDEN,
    NOT_FOUND,
    TOO_LARGE,
    UNKNOWN,
    Denied,
)
from sinks.gateway.security.doorkeeper import ANONYMOUS, LOCAL, NO_KEY, Caller, Doorkeeper
from sinks.gateway.security.policy import Policy
from sinks.gateway.security.rates import Rates
from sinks.gateway.security.roles import WEBSOCKET, Endpoints, Role

FAILURE_COST = 10.0  # requests that a wrong key or token counts as
FORWARDED = {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip"}
"""What proxies add; and whatever begins with x-forwarded."""
SAFE = {"GET", "HEAD"}
PATH_CHARS_MAX = 300
HEAD_BYTES_MAX = 16 << 10
BODY_HEADERS = {b"content-length", b"transfer-encoding"}
PLAIN = "/:@!$&'()*+,;=~"  # RFC 3986 leaves them as they are in a path


@dataclass(slots=True)
class Visit:
    """One call, as far as it is known."""

    method: str
    path: str
    ip: str = ""
    needed: Role | None = None
    caller: Caller | None = None

    @property
    def told(self) -> str:
        """The path as logs tell it: of any length, with line ends or colours, it forges nothing."""
        return quote(self.path[:PATH_CHARS_MAX], safe=PLAIN)

    @property
    def is_change(self) -> bool:
        """Say whether it asks for more than reading."""
        return self.needed is not None and self.needed >= Role.OPERATOR

    @property
    def is_audited(self) -> bool:
        """Say whether it does, and is somebody's: nobody fills the audit without a key."""
        return self.is_change and self.caller not in {None, ANONYMOUS}


class Admission:
    """``admit`` a call, or raise Denied."""

    def __init__(
        self, policy: Policy, endpoints: Endpoints, doorkeeper: Doorkeeper, rates: Rates
    ) -> None:
        self._policy = policy
        self._endpoints = endpoints
        self._doorkeeper = doorkeeper
        self._rates = rates

    async def admit(self, scope: Scope, visit: Visit) -> None:
        """Fill the visit in; a WebSocket's may end without a caller, who then has to sign in."""
        _check_head(scope, visit)
        headers = Headers(scope=scope)
        if self._doorkeeper.is_open:
            visit.needed = self._endpoints.needed(visit.method, visit.path)
            visit.ip = scope["client"][0] if scope.get("client") else ""
            _check_local(visit, headers, scope["scheme"])
            visit.caller = LOCAL
            return
        visit.ip = self._address(scope, headers)
        await self._rates.take("address", visit.ip, self._policy.per_ip_s)
        visit.needed = self._endpoints.needed(visit.method, visit.path)
        if visit.needed is None:
            raise Denied(NOT_FOUND, "there is nothing at this address", kind="path")
        if visit.needed is Role.NOBODY:
            return
        shown = in_headers(headers)
        if shown is None and visit.method == WEBSOCKET:
            shown = in_query(scope["query_string"])
        visit.caller = await self.identify(shown, visit.ip)
        if visit.caller is not None:
            await self._judge(visit, visit.caller)
        elif visit.method != WEBSOCKET:
            raise Denied(UNKNOWN, NO_KEY, kind="no_key")

    async def identify(self, shown: Shown | None, ip: str) -> Caller | None:
        """Return who that is; a failure costs its address more than a call."""
        try:
            return self._doorkeeper.identify(shown, time.time())
        except Denied:
            await self._rates.take("address", ip, self._policy.per_ip_s, FAILURE_COST)
            raise

    async def _judge(self, visit: Visit, caller: Caller) -> None:
        if visit.needed is not None and caller.role < visit.needed:
            is_known = caller.has_key
            reason = f"this needs the role {visit.needed.text}, and this is a {caller.role.text}"
            raise Denied(FORBIDDEN if is_known else UNKNOWN, reason, kind="role")
        if caller.has_key:
            await self._rates.take("key", caller.key_id, self._policy.per_key_s)

    def _address(self, scope: Scope, headers: Headers) -> str:
        peer = parse_address(scope["client"][0]) if scope.get("client") else None
        if peer is None:
            raise Denied(FORBIDDEN, "the caller's address is not known", kind="address")
        address = client_address(peer, headers.getlist("x-forwarded-for"), self._policy.proxies)
        if self._policy.allowed and not is_within(address, self._policy.allowed):
            raise Denied(FORBIDDEN, "this address is not allowed to call", kind="address")
        return limited_as(address)


def _check_head(scope: Scope, visit: Visit) -> None:
    """Refuse heads that are too large, and those in which two parsers see two bodies."""
    head: list[tuple[bytes, bytes]] = scope["headers"]
    size = len(visit.path) + len(scope["query_string"])
    if size + sum(len(name) + len(value) for name, value in head) > HEAD_BYTES_MAX:
        reason = f"the head of a request has at most {HEAD_BYTES_MAX} bytes"
        raise Denied(TOO_LARGE, reason, kind="head")
    if sum(name in BODY_HEADERS for name, _ in head) > 1:
        raise Denied(BAD, "the length of the body is told more than once", kind="head")


def _check_local(visit: Visit, headers: Headers, scheme: str) -> None:
    host = headers.get("host", "")
    told = {name for name in headers if name in FORWARDED or name.startswith("x-forwarded")}
    if told or not is_loopback(host):
        reason = "without keys only calls straight from this machine are obeyed: make a key"
        raise Denied(FORBIDDEN, reason, kind="not_local")
    origin = headers.get("origin")
    if origin is None or (visit.method in SAFE):
        return
    own = {"ws": "http", "wss": "https"}.get(scheme, scheme) + "://" + host.strip().lower()
    if origin.lower() != own:
        reason = "without keys no page of another site may do this: make a key"
        raise Denied(FORBIDDEN, reason, kind="origin")
