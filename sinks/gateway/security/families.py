"""Which refresh tokens were used, as the topic tells it: each is good once; no I/O, no clock.

The tokens that come one of another are a family. Whoever uses one says so on the topic before it
gets the next, and the topic's order decides who was first; a second use ends the whole family, for
one of the two users is a thief, and nobody can tell which.
"""

from collections import Counter

import msgspec

from runtime.errors import Poison
from schemas.keys import TokenFamily, decode_family
from sinks.gateway.security.denied import TOO_MANY, UNAVAILABLE, Denied
from sinks.gateway.security.tokens import Claims

FAMILIES_MAX = 100_000
FAMILIES_PER_KEY_MAX = 1_000
RETRY_AFTER_S = 60.0
REUSED = "the refresh token was used before: all tokens that came of it have ended, show the key"


class Families:
    """The topic in memory; ``take`` keeps it up to date, ``used`` says what to write to it."""

    def __init__(self) -> None:
        self._known: dict[str, TokenFamily] = {}  # the one that was used last is the last
        self._of_key: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record of the topic; raise Poison."""
        try:
            family_id = (key or b"").decode()
            told = None if value is None else decode_family(value)
        except (msgspec.MsgspecError, ValueError) as e:
            raise Poison(f"no token family: {e}", payload=b"") from e
        if told is None:
            self._forget(family_id)
            return
        if told.id != family_id:
            raise Poison("it is about another family than its record's", payload=b"")
        known = self._known.pop(family_id, None)
        if known is None:
            self._of_key[told.key_id] += 1
        self._known[family_id] = told if known is None else _merged(known, told)

    def is_ended(self, family_id: str) -> bool:
        """Say whether a token of it was used twice."""
        known = self._known.get(family_id)
        return known is not None and known.ended

    def used(self, claims: Claims, call: str, until_ms: int) -> TokenFamily:
        """Return what to write before a token is obeyed; ``ended`` where it may not be."""
        known = self._known.get(claims.family)
        if known is None:
            self._check_room(claims.key_id)
        ended = known is not None and (known.ended or claims.number <= known.used)
        if ended and known is not None:
            return msgspec.structs.replace(known, ended=True)
        return TokenFamily(
            id=claims.family,
            key_id=claims.key_id,
            used=claims.number,
            call=call,
            until_ms=until_ms,
        )

    def is_first(self, use: TokenFamily) -> bool:
        """Say whether a use, now that it was read back, is the one that the topic has first."""
        known = self._known.get(use.id)
        return known is not None and not known.ended and known.call == use.call

    def forget(self, now_ms: int) -> None:
        """Forget families whose newest token has expired."""
        while self._known:
            family_id, oldest = next(iter(self._known.items()))
            if oldest.until_ms >= now_ms:
                return
            self._forget(family_id)

    def _forget(self, family_id: str) -> None:
        known = self._known.pop(family_id, None)
        if known is not None:
            self._of_key[known.key_id] -= 1
            if not self._of_key[known.key_id]:
                del self._of_key[known.key_id]

    def _check_room(self, key_id: str) -> None:
        """Never forget a used token to make room: it would be good again."""
        if self._of_key[key_id] >= FAMILIES_PER_KEY_MAX:
            reason = f"{FAMILIES_PER_KEY_MAX} token families of one key live: no more are allowed"
            raise Denied(TOO_MANY, reason, kind="tokens", retry_after_s=RETRY_AFTER_S)
        if len(self._known) >= FAMILIES_MAX:
            reason = f"{FAMILIES_MAX} token families live: no more are allowed"
            raise Denied(UNAVAILABLE, reason, kind="tokens", retry_after_s=RETRY_AFTER_S)


def _merged(known: TokenFamily, told: TokenFamily) -> TokenFamily:
    """Return what both tell: the newest use that was first, ended where one was used twice."""
    is_twice = told.used < known.used or (told.used == known.used and told.call != known.call)
    newest = known if told.used <= known.used else told
    return msgspec.structs.replace(newest, ended=known.ended or told.ended or is_twice)
