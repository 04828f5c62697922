"""Which refresh tokens were used, as the topic tells it: each is good once; no I/O, no clock.

The tokens that come one of another are a family. Whoever uses one says so on the topic before it
gets the next, and the topic's order decides who was first; a second use ends the whole family, for
one of the two users is a thief, and nobody can tell which.

A key with too many families that live loses the one idle the longest: it ends, and whoever had it
shows the key again. Refusing the new one instead would let anybody's loop of sign-ins lock its key
for as long as a refresh token lives. What has ended is remembered as long as what lives.
"""

import msgspec

from runtime.errors import Poison
from schemas.keys import TokenFamily, decode_family
from sinks.gateway.security.denied import TOO_MANY, UNAVAILABLE, Denied
from sinks.gateway.security.tokens import Claims

FAMILIES_MAX = 100_000
FAMILIES_KEPT_PER_KEY_MAX = 10_000  # the ended ones, too
FAMILIES_PER_KEY_MAX = 1_000
REUSED = "its refresh token was used before, or others pushed out this sign-in: show the key"


class Families:
    """The topic in memory; ``take`` keeps it up to date, ``used`` says what to write to it."""

    def __init__(self) -> None:
        self._known: dict[str, TokenFamily] = {}  # the one that was used last is the last
        self._of_key: dict[str, dict[str, None]] = {}  # their ids, in the same order

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
        known = self._known.get(family_id)
        if known is not None and known.key_id != told.key_id:
            raise Poison("it was another key's before", payload=b"")
        family = told if known is None else _merged(known, told)
        if not family.ended:
            self._forget(family_id)
        self._known[family_id] = family  # one that has ended keeps its place
        self._of_key.setdefault(family.key_id, {})[family_id] = None

    def is_ended(self, family_id: str) -> bool:
        """Say whether a token of it was used twice."""
        known = self._known.get(family_id)
        return known is not None and known.ended

    def used(self, claims: Claims, call: str, now_ms: int, until_ms: int) -> TokenFamily:
        """Return what to write before a token is obeyed; ``ended`` where it may not be."""
        known = self._known.get(claims.family)
        if known is None:
            self._check_room(claims.key_id, now_ms)
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

    def pushed_out(self, use: TokenFamily) -> TokenFamily | None:
        """Return what ends the longest idle family of a key, where it has no room for a new one."""
        if use.id in self._known:
            return None
        live = [own for own in map(self._known.__getitem__, self._of_key.get(use.key_id, ()))
                if not own.ended]  # fmt: skip
        if len(live) < FAMILIES_PER_KEY_MAX:
            return None
        return msgspec.structs.replace(live[0], ended=True)

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
            del self._of_key[known.key_id][family_id]
            if not self._of_key[known.key_id]:
                del self._of_key[known.key_id]

    def _check_room(self, key_id: str, now_ms: int) -> None:
        """Never forget a used token to make room: it would be good again."""
        own = self._of_key.get(key_id, {})
        if len(own) >= FAMILIES_KEPT_PER_KEY_MAX:
            status, kept = TOO_MANY, f"{len(own)} of this key"
            oldest = self._known[next(iter(own))]
        elif len(self._known) >= FAMILIES_MAX:
            status, kept = UNAVAILABLE, f"{len(self._known)}"
            oldest = next(iter(self._known.values()))
        else:
            return
        reason = f"{kept} token families are remembered: no more are allowed"
        retry_after_s = (oldest.until_ms - now_ms) / 1_000
        raise Denied(status, reason, kind="tokens", retry_after_s=retry_after_s)


def _merged(known: TokenFamily, told: TokenFamily) -> TokenFamily:
    """Return what both tell: the newest use that was first, ended where one was used twice."""
    is_twice = told.used < known.used or (told.used == known.used and told.call != known.call)
    newest = known if told.used <= known.used else told
    return msgspec.structs.replace(newest, ended=known.ended or told.ended or is_twice)
