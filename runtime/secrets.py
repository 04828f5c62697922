"""What looks like a secret never reaches a log: by the name of its field, and by its form."""

import re
from collections.abc import Callable
from typing import Any

HIDDEN = "***"
NAMES = frozenset(
    {
        *("access_token", "api_key", "auth_key", "authorization", "cookie", "jwt", "password"),
        *("refresh_token", "secret", "token", "wss_auth_key", "x-api-key"),
    }
)
_FORMS = re.compile(
    r"""
    \bfib_[0-9a-f]{12}_[\w-]{43}                        # an API key
    | \beyJ[\w-]{5,}\.[\w-]+\.[\w-]*                     # a JSON Web Token
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)                    # user and password of an address
    | (?<=[?&]key=)[^&\s"']+ | (?<=[?&]token=)[^&\s"']+ | (?<=[?&]api_key=)[^&\s"']+
    | (?<=[Bb]earer\ )[\w.~+/-]{8,}=* | (?<=[Bb]asic\ )[\w+/]{8,}=*
    """,
    re.VERBOSE,
)

Renderer = Callable[[Any, str, Any], str | bytes]


def hide(text: str) -> str:
    """Return a text without what looks like a secret in it."""
    return _FORMS.sub(HIDDEN, text)


def hiding(renderer: Renderer) -> Callable[[Any, str, Any], str]:
    """Return a renderer of log records that hides secrets: last, so tracebacks are covered."""

    def render(logger: Any, method: str, event: Any) -> str:
        shown = {
            name: HIDDEN if name.lower() in NAMES and value else value
            for name, value in event.items()
        }
        text = renderer(logger, method, shown)
        return hide(text if isinstance(text, str) else text.decode())

    return render
