"""What a caller shows of itself: in headers; at a WebSocket also in the query or a first message.

Browsers cannot set headers of a WebSocket, hence the query; of other calls it is not read, because
addresses end up in logs. What is shown and wrong is refused: it is never the same as nothing.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

SHOWN_CHARS_MAX = 4_096


class Shown(NamedTuple):
    """A key or token, and the user's name where one belongs to it."""

    secret: str
    user: str | None = None


class _SignIn(msgspec.Struct):
    action: str
    key: str = ""
    token: str = ""
    user: str | None = None


_read_sign_in = msgspec.json.Decoder(_SignIn).decode


def in_headers(headers: Mapping[str, str]) -> Shown | None:
    """Return what the headers show; names are in lower case."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return Shown(rest.strip())
    if scheme.lower() == "basic":
        return _basic(rest)
    if scheme:
        return Shown("")
    if "x-api-key" in headers:
        return Shown(headers["x-api-key"].strip(), headers.get("x-auth-user"))
    return None


def _basic(text: str) -> Shown:
    try:
        user, _, secret = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return Shown("")
    return Shown(secret, user)


def in_query(query: bytes) -> Shown | None:
    """Return what the query shows: ``?key=`` with or without ``user=``, or ``?token=``."""
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    for name in ("token", "api_key", "key"):
        if name in found:
            return Shown(found[name][0], found.get("user", [None])[0])
    return None


def in_message(text: str | bytes) -> Shown | None:
    """Return what a first message shows; None: it is none that signs in."""
    if len(text) > SHOWN_CHARS_MAX:
        return None
    try:
        said = _read_sign_in(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if said.action not in {"auth", "authenticate"}:
        return None
    return Shown(said.token or said.key, said.user)
