"""API keys as the topic tells of them: made, found, listed; no I/O, and never a key itself.

The secret has 256 random bits, so one SHA-256 is enough: there is nothing to guess from a hash.
"""

import hashlib
import hmac
import re
import secrets

import msgspec

from runtime.errors import Poison
from schemas.keys import ApiKey, RoleName, decode_key

PREFIX = "fib_"
KEYS_MAX = 10_000
ID_BYTES = 6
SECRET_BYTES = 32
_FORM = re.compile(r"fib_([0-9a-f]{12})_[\w-]{43}", re.ASCII)


def hash_text(text: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def generate() -> tuple[str, str]:
    """Return a new key: its public id, and its whole text."""
    key_id = secrets.token_hex(ID_BYTES)
    return key_id, f"{PREFIX}{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def make_key(
    name: str, role: RoleName, now_ms: int, expires_ms: int | None = None
) -> tuple[str, ApiKey]:
    """Return a new key's text, to be shown once, and what is stored of it."""
    key_id, text = generate()
    return text, ApiKey(
        id=key_id,
        name=name,
        role=role,
        hash=hash_text(text),
        created_ms=now_ms,
        expires_ms=expires_ms,
    )


class KeyTable:
    """The topic in memory; ``take`` keeps it up to date."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the topic; raise Poison."""
        try:
            key_id = (key or b"").decode()
            record = None if value is None else decode_key(value)
        except (msgspec.MsgspecError, ValueError) as e:
            raise Poison(f"no API key: {e}", payload=b"") from e
        if record is None:
            self.keys.pop(key_id, None)
            return
        if record.id != key_id:
            raise Poison("it is about another key than its record's", payload=b"")
        if key_id not in self.keys and len(self.keys) >= KEYS_MAX:
            raise Poison(f"more than {KEYS_MAX} keys", payload=b"")
        self.keys[key_id] = record

    def find(self, text: str) -> ApiKey | None:
        """Return the key of that text, dead or alive."""
        form = _FORM.fullmatch(text)
        known = self.keys.get(form[1]) if form else None
        if known is None or not hmac.compare_digest(known.hash, hash_text(text)):
            return None
        return known

    def live(self, now_ms: int) -> int:
        """Return how many keys open something."""
        return sum(key.is_alive(now_ms) for key in self.keys.values())
