"""Who may use the gateway (``md.keys.v1``, its tokens), and what was asked that needs rights.

The topic holds hashes only: a key is shown once, to whoever made it, and never stored.
"""

from typing import Literal

import msgspec

RoleName = Literal["viewer", "operator", "admin"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key; its record's key is ``id``. A revoked key stays, so that it is told as such."""

    id: str
    """The public part of the key, by which logs and lists name it."""
    name: str
    role: RoleName
    hash: str
    """SHA-256 of the whole key, as hexadecimal text."""
    created_ms: int
    expires_ms: int | None = None
    """From then on it opens nothing; null: it does not expire."""
    revoked_ms: int | None = None
    """Since when it opens nothing; null: it was not revoked."""

    def is_alive(self, now_ms: int) -> bool:
        """Say whether the key opens anything now."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One call that needs more than reading rights, obeyed or refused."""

    at_ms: int
    key_id: str
    """Of the caller; empty where the caller is not known."""
    name: str
    role: str
    ip: str
    method: str
    path: str
    status: int
    """What was answered: HTTP's."""


class TokenFamily(msgspec.Struct, frozen=True, kw_only=True):
    """The refresh tokens that came one of another; each is good once. Keyed by ``id``."""

    id: str
    key_id: str
    """The API key for which they stand."""
    used: int
    """The youngest of them that was used, counted from 0."""
    call: str
    """The call that used it: two calls with one token end the family."""
    until_ms: int
    """When the next of them, which that call got, expires."""
    ended: bool = False
    """One of them was used twice: none, and no access token of theirs, opens anything."""


encode_key = msgspec.json.Encoder().encode
decode_key = msgspec.json.Decoder(ApiKey).decode
encode_family = msgspec.json.Encoder().encode
decode_family = msgspec.json.Decoder(TokenFamily).decode
encode_audit = msgspec.json.Encoder().encode
