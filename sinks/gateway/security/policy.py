"""The settings of who may call, read and checked before anything is connected."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import Misconfigured
from runtime.settings import Settings
from sinks.gateway.security.addresses import Network, parse_networks
from sinks.gateway.security.seats import What
from sinks.gateway.security.tokens import Tokens, parse_signing_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Networks, rates, seats and origins."""

    allowed: tuple[Network, ...]
    proxies: tuple[Network, ...]
    origins: tuple[str, ...]
    per_ip_s: int
    per_key_s: int
    seats: dict[What, int]


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a certificate that can be loaded."""

    cert: Path
    key: Path


def read_policy(settings: Settings) -> Policy:
    """Return the policy of the settings; raise Misconfigured."""
    if bool(settings.wss_auth_user) != (settings.wss_auth_key is not None):
        raise Misconfigured(
            "STREAMER_WSS_AUTH_KEY",
            "the user and the key belong together, and one of them is not set",
            remedy="Set both STREAMER_WSS_AUTH_USER and STREAMER_WSS_AUTH_KEY, or none.",
        )
    return Policy(
        allowed=parse_networks(
            "STREAMER_GATEWAY_ALLOWED_NETWORKS", settings.gateway_allowed_networks
        ),
        proxies=parse_networks(
            "STREAMER_GATEWAY_TRUSTED_PROXIES", settings.gateway_trusted_proxies
        ),
        origins=tuple(map(_origin, settings.gateway_cors_origins)),
        per_ip_s=settings.gateway_requests_per_ip_s,
        per_key_s=settings.gateway_requests_per_key_s,
        seats={
            "all": settings.gateway_connections_max,
            "address": settings.gateway_connections_per_ip_max,
            "key": settings.gateway_connections_per_key_max,
        },
    )


def read_tokens(settings: Settings) -> Tokens:
    """Return the tokens of the settings; raise Misconfigured."""
    text = settings.gateway_jwt_keys.get_secret_value() if settings.gateway_jwt_keys else ""
    return Tokens(
        parse_signing_keys(text), settings.gateway_jwt_access_s, settings.gateway_jwt_refresh_s
    )


def read_tls(settings: Settings) -> Tls | None:
    """Return the certificate of the settings, tried; raise Misconfigured."""
    cert, key = settings.gateway_tls_cert, settings.gateway_tls_key
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        missing = "CERT" if cert is None else "KEY"
        raise Misconfigured(
            f"STREAMER_GATEWAY_TLS_{missing}",
            "the certificate and its key belong together, and this is not set",
            remedy="Set both, or none.",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as e:
        raise Misconfigured(
            "STREAMER_GATEWAY_TLS_CERT",
            f"{cert} and {key} cannot be used ({e})",
            remedy="Both are PEM files, the key without a password and belonging to the first.",
        ) from e
    return Tls(cert, key)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or text != text.rstrip("/"):
        raise Misconfigured(
            "STREAMER_GATEWAY_CORS_ORIGINS",
            f"{text!r} is not an origin; * is not allowed",
            remedy="Example: https://charts.example.org",
        )
    return text
