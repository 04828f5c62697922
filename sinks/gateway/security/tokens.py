"""JSON Web Tokens: short access tokens and longer refresh tokens, each bound to an API key.

That a refresh token is good once is not decided here, but by what the topic tells of its family.

One algorithm, no matter what a token's header says. Signing keys have names: the first signs, all
verify, so a new one is put in front and the old one taken out when its tokens have expired.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jwt

from runtime.errors import Misconfigured
from schemas.keys import RoleName
from sinks.gateway.security.denied import NOT_FOUND, UNKNOWN, Denied
from sinks.gateway.security.roles import ROLES

ALGORITHM = "HS256"
ISSUER = "fibstream"
AUDIENCE = "fibstream-gateway"
LEEWAY_S = 5  # between the clocks of two gateways
SECRET_CHARS_MIN = 32
SETTING = "STREAMER_GATEWAY_JWT_KEYS"

Use = Literal["access", "refresh"]


class Claims(NamedTuple):
    """What a verified token says."""

    key_id: str
    role: RoleName
    expires_s: int
    family: str = ""
    """The refresh tokens that came one of another, and their access tokens."""
    number: int = 0
    """Which of its family a refresh token is."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tokens, as they are answered."""

    access_token: str
    refresh_token: str
    expires_in_s: int


def parse_signing_keys(text: str) -> dict[str, str]:
    """Read ``name:secret,...``; raise Misconfigured without quoting a secret."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, secret = part.partition(":")
        if not name or name in found or len(secret) < SECRET_CHARS_MIN:
            raise Misconfigured(
                SETTING,
                f"entry {len(found) + 1} is not name:secret with a name of its own and a secret of "
                f"{SECRET_CHARS_MIN} characters or more",
                remedy="Make one: echo k1:$(openssl rand -hex 32)",
            )
        found[name] = secret
    return found


class Tokens:
    """Issues and reads tokens; without signing keys there are none."""

    def __init__(self, signing: Mapping[str, str], access_s: int, refresh_s: int) -> None:
        self._signing = dict(signing)
        self._lifetimes_s: dict[Use, int] = {"access": access_s, "refresh": refresh_s}

    @property
    def longest_s(self) -> int:
        """How long after it was issued a token may still open something."""
        return max(self._lifetimes_s.values()) + LEEWAY_S

    def issue(
        self, key_id: str, role: RoleName, now_s: int, family: str = "", number: int = 0
    ) -> Pair:
        """Return new tokens of a key, by default of a new family; raise Denied without any."""
        if not self._signing:
            reason = f"tokens are not in use here: {SETTING} is empty"
            raise Denied(NOT_FOUND, reason, kind="tokens")
        own = {"sub": key_id, "role": role, "fam": family or secrets.token_hex(8), "num": number}
        access = self._signed("access", own, now_s)
        refresh = self._signed("refresh", own, now_s)
        return Pair(access, refresh, self._lifetimes_s["access"])

    def _signed(self, use: Use, own: Mapping[str, Any], now_s: int) -> str:
        name = next(iter(self._signing))
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            **own,
            "use": use,
            "jti": secrets.token_hex(8),
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + self._lifetimes_s[use],
        }
        return jwt.encode(claims, self._signing[name], ALGORITHM, headers={"kid": name})

    def read(self, text: str, use: Use) -> Claims:
        """Return what a token says if it is ours, now, and for that use; else raise Denied."""
        try:
            name = jwt.get_unverified_header(text).get("kid")
            secret = self._signing.get(name) if isinstance(name, str) else None
            if secret is None:
                raise Denied(UNKNOWN, "the token's signing key is not known", kind="token")
            claims: dict[str, Any] = jwt.decode(
                text,
                secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]},
            )
        except jwt.ExpiredSignatureError as e:
            raise Denied(UNKNOWN, "the token has expired", kind="token") from e
        except (jwt.PyJWTError, ValueError, RecursionError) as e:  # its head may be nested deeply
            raise Denied(UNKNOWN, "the token is not valid", kind="token") from e
        if claims.get("use") != use or str(claims.get("role")) not in ROLES:
            raise Denied(UNKNOWN, f"the token is no {use} token", kind="token")
        family, number = claims.get("fam"), claims.get("num")
        if not isinstance(family, str) or not isinstance(number, int):
            raise Denied(UNKNOWN, "the token is of no family", kind="token")
        return Claims(claims["sub"], claims["role"], int(claims["exp"]), family, number)
