"""Who a caller is: what was shown against keys, tokens and the one user of the settings; no I/O.

Without any key the gateway is open, and then to this machine only: whoever calls is its admin. One
key on the topic, be it revoked, ends that for good.
"""

import hmac
import math
from typing import NamedTuple

from runtime.settings import Settings
from schemas.keys import RoleName, TokenFamily
from sinks.gateway.security.addresses import is_loopback
from sinks.gateway.security.credentials import Shown
from sinks.gateway.security.denied import FORBIDDEN, UNKNOWN, Denied
from sinks.gateway.security.families import REUSED, Families
from sinks.gateway.security.keys import PREFIX, KeyTable, hash_text
from sinks.gateway.security.roles import ROLES, Role
from sinks.gateway.security.tokens import Claims, Pair, Tokens

BOOTSTRAP = "bootstrap"
WSS_USER = "wss-user"
ISSUED_WITHIN_S = 60.0  # of a use: writing it, reading it back, another gateway's clock
NO_KEY = "a key is needed: Authorization: Bearer, X-API-Key, or ?key= of a WebSocket"


class Caller(NamedTuple):
    """Somebody who is let in."""

    key_id: str
    name: str
    role: Role
    until_s: float = math.inf
    """When the token expires by which it is known."""
    family: str = ""
    """Of that token."""

    @property
    def has_key(self) -> bool:
        """Say whether it is known by a key, and not by where it calls from."""
        return self not in {LOCAL, ANONYMOUS}


LOCAL = Caller("", "local", Role.ADMIN)
ANONYMOUS = Caller("", "anonymous", Role.VIEWER)


class Doorkeeper:
    """``identify`` a caller, and later ask whether it is ``ended``."""

    def __init__(
        self, settings: Settings, table: KeyTable, tokens: Tokens, families: Families
    ) -> None:
        self._table = table
        self._tokens = tokens
        self._families = families
        self._admin_hash = settings.gateway_admin_key_hash
        self._user = settings.wss_auth_user
        secret = settings.wss_auth_key
        self._user_hash = hash_text(secret.get_secret_value()) if secret else ""
        self._has_anonymous = settings.gateway_anonymous_role == "viewer"
        self._is_local = is_loopback(settings.websocket_host)

    @property
    def has_admin(self) -> bool:
        """Say whether the settings name an admin key."""
        return bool(self._admin_hash)

    @property
    def has_keys(self) -> bool:
        """Say whether anything tells callers apart, or says that it need not."""
        by_settings = self._admin_hash or self._user_hash or self._has_anonymous
        return bool(by_settings or self._table.keys)

    @property
    def is_open(self) -> bool:
        """Say whether callers from this machine may do everything."""
        return self._is_local and not self.has_keys

    def identify(self, shown: Shown | None, now_s: float) -> Caller | None:
        """Return who that is; None: nothing was shown, and that is too little. Raise Denied."""
        if shown is None:
            return ANONYMOUS if self._has_anonymous else None
        if shown.secret.count(".") == 2 and not shown.secret.startswith(PREFIX):
            if self._user_hash and shown.user is not None and self._is_user(shown):
                return self._caller(WSS_USER)
            return self._of_token(self._tokens.read(shown.secret, "access"), now_s)
        return self._of_key(shown, now_s)

    def use(self, refresh_token: str, call: str, now_s: float) -> TokenFamily:
        """Return what to write of a token's use, before ``refreshed``; raise Denied."""
        claims = self._tokens.read(refresh_token, "refresh")
        self._of_token(claims, now_s)
        until_s = now_s + ISSUED_WITHIN_S + self._tokens.longest_s
        return self._families.used(claims, call, int(now_s * 1_000), int(until_s * 1_000))

    def pushed_out(self, use: TokenFamily) -> TokenFamily | None:
        """Return what to write before a use, so that its key has not too many families."""
        return self._families.pushed_out(use)

    def is_first(self, use: TokenFamily) -> bool:
        """Say whether a use, now that it was read back, is the first of its token."""
        return not use.ended and self._families.is_first(use)

    def refreshed(self, refresh_token: str, now_s: float) -> Pair:
        """Return new tokens for one that is used for the first time; raise Denied."""
        claims = self._tokens.read(refresh_token, "refresh")
        caller = self._of_token(claims, now_s)
        role, number = _role_name(caller.role), claims.number + 1
        return self._tokens.issue(caller.key_id, role, int(now_s), claims.family, number)

    def tokens_for(self, caller: Caller, now_s: float) -> Pair:
        """Return tokens of whoever showed a key; raise Denied."""
        if not caller.has_key:
            raise Denied(FORBIDDEN, "tokens belong to a key: show one", kind="tokens")
        if caller.until_s != math.inf:
            raise Denied(FORBIDDEN, "a token makes no tokens: refresh it", kind="tokens")
        return self._tokens.issue(caller.key_id, _role_name(caller.role), int(now_s))

    def ended(self, caller: Caller, now_s: float) -> str:
        """Return why a caller may not stay; empty: it may."""
        if now_s >= caller.until_s:
            return "the token has expired"
        if caller.family and self._families.is_ended(caller.family):
            return REUSED
        if caller.key_id in self._table.keys:
            key = self._table.keys[caller.key_id]
            return "" if key.is_alive(int(now_s * 1_000)) else "the key was revoked or has expired"
        if caller.has_key and caller.key_id not in {BOOTSTRAP, WSS_USER}:
            return "the key is gone"
        return "keys are asked for now" if caller == LOCAL and not self.is_open else ""

    def _of_key(self, shown: Shown, now_s: float) -> Caller:
        if self._user_hash and self._is_user(shown):
            return self._caller(WSS_USER)
        if self._admin_hash and hmac.compare_digest(self._admin_hash, hash_text(shown.secret)):
            return self._caller(BOOTSTRAP)
        key = self._table.find(shown.secret)
        if key is None or (shown.user and shown.user not in {key.name, key.id}):
            raise Denied(UNKNOWN, "the key is not known", kind="key")
        caller = self._caller(key.id)
        if reason := self.ended(caller, now_s):
            raise Denied(UNKNOWN, reason, kind="key")
        return caller

    def _is_user(self, shown: Shown) -> bool:
        names_it = hmac.compare_digest((shown.user or "").encode(), self._user.encode())
        return hmac.compare_digest(self._user_hash, hash_text(shown.secret)) and names_it

    def _of_token(self, claims: Claims, now_s: float) -> Caller:
        """Return the caller of a token: never with more rights than its key has now."""
        owner = self._caller(claims.key_id)._replace(family=claims.family)
        if reason := self.ended(owner, now_s):
            raise Denied(UNKNOWN, reason, kind="token")
        role = min(owner.role, ROLES[claims.role])
        return owner._replace(role=role, until_s=float(claims.expires_s))

    def _caller(self, key_id: str) -> Caller:
        if key_id == BOOTSTRAP and self._admin_hash:
            return Caller(BOOTSTRAP, BOOTSTRAP, Role.ADMIN)
        if key_id == WSS_USER and self._user_hash:
            return Caller(WSS_USER, self._user, Role.VIEWER)
        key = self._table.keys.get(key_id)
        if key is None:
            raise Denied(UNKNOWN, "the key is not known", kind="key")
        return Caller(key.id, key.name, ROLES[key.role])


def _role_name(role: Role) -> RoleName:
    return next(name for name, its in ROLES.items() if its is role)
