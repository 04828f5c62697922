"""Where an exchange answers: URLs from the settings, checked before anything connects."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from ingest.exchanges.base import Market
from runtime.errors import Misconfigured
from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL and the setting it came from, so that an error can name it."""

    url: str
    setting: str
    is_override: bool = False
    """The operator's own: when nobody ever answers there, it is wrong."""

    def wrong(self, problem: str) -> Misconfigured:
        """Return the operator's error about this URL."""
        return Misconfigured(
            self.setting,
            f"{self.url!r} {problem}",
            remedy="Correct it, or leave it empty for the venue's own address.",
        )


def rest(settings: Settings, market: Market) -> Endpoint:
    """Return the base of the REST API; raise Misconfigured if it is no http(s) URL."""
    return _endpoint(settings, market, "rest_url", ("http", "https"))


def socket(settings: Settings, market: Market) -> Endpoint:
    """Return the base of the WebSocket streams; raise Misconfigured if it is no ws(s) URL."""
    return _endpoint(settings, market, "ws_url", ("ws", "wss"))


def archive(settings: Settings, own: str) -> Endpoint:
    """Return the base of the archive of files; raise Misconfigured if it is no http(s) URL."""
    return _checked(settings, "exchange_archive_url", own, ("http", "https"))


def _endpoint(
    settings: Settings, market: Market, suffix: str, schemes: tuple[str, str]
) -> Endpoint:
    own = market.rest_url if suffix == "rest_url" else market.socket_url
    return _checked(settings, f"exchange_{market.channel}_{suffix}", own, schemes)


def _checked(settings: Settings, name: str, own: str, schemes: tuple[str, str]) -> Endpoint:
    override = str(getattr(settings, name))
    endpoint = Endpoint(
        (override or own).rstrip("/"), f"STREAMER_{name.upper()}", is_override=bool(override)
    )
    try:
        parts = urlsplit(endpoint.url)
        port = parts.port  # raises on what is no port
    except ValueError as e:
        raise endpoint.wrong(f"is not a URL ({e})") from e
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise endpoint.wrong(f"is not a URL of the form {schemes[1]}://host[:port][/path]")
    return endpoint
