"""Targets: URLs of Apprise, what of them may be shown, and sending to them.

Apprise's own masking is not enough: it shows the path and the headers of a webhook, where the
secret of most of them stands.
"""

import logging
import re
from urllib.parse import urlsplit

import apprise

SEND_WITHIN_S = 10.0
MASK = "****"
# Of these the host is an address; elsewhere a token may stand in its place (tgram://TOKEN/chat).
ADDRESSED = frozenset({"json", "jsons", "form", "forms", "xml", "xmls", "apprise", "apprises"})

# What it logs may hold URLs: nothing of that gets out, and at debug it is not even made.
_logger = logging.getLogger("apprise")
_logger.setLevel(logging.WARNING)
_logger.propagate = False
_logger.addHandler(logging.NullHandler())

_HTTP_ERROR = re.compile(r"error=(\d{3})\b")


def masked(url: str) -> str:
    """Return what may be shown of a target: its service, and where it is an address, its host."""
    scheme, found, _ = url.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z0-9+.-]{1,32}", scheme):
        return MASK
    host = ""
    if scheme.lower() in ADDRESSED:
        try:
            split = urlsplit(url)
            host = (split.hostname or "") + (f":{split.port}" if split.port else "") + "/"
        except ValueError:
            host = ""
    return f"{scheme.lower()}://{host}{MASK}"


def problem(url: str) -> str:
    """Return why nothing can be sent there, "" where it can; the URL is not in it."""
    if MASK in url:
        return f"{masked(url)} is masked: write the whole URL"
    if apprise.Apprise.instantiate(url) is None:
        return f"{masked(url)} is no URL that Apprise can use (json://host/path, tgram://..., ...)"
    return ""


async def send(url: str, title: str, body: str) -> str:
    """Send a message; return "" when the service took it, else why not, without secrets."""
    service = apprise.Apprise.instantiate(url)
    if service is None:
        return "Apprise cannot use the URL"
    one = apprise.Apprise(service)
    kind = apprise.NotifyType.WARNING
    result = await one.async_notify(
        body=body,
        title=title,
        notify_type=kind,
        body_format=apprise.NotifyFormat.TEXT,
        timeout=SEND_WITHIN_S,
    )
    if result:
        return ""
    if result.status is apprise.AppriseResultStatus.TIMEOUT:
        return f"no answer within {SEND_WITHIN_S:g} s"
    said = _HTTP_ERROR.search(" ".join(entry.message for entry in result.logs()))
    return f"refused with {said[1]}" if said else "not reached, or refused"
