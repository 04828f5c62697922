"""Questions to the gateway, of a command on this machine or of another."""

from typing import Annotated, Any

import httpx
import typer

from runtime.errors import Misconfigured
from runtime.settings import Settings, load_settings

TIMEOUT_S = 15.0
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - where the gateway listens is not where it is asked

Url = Annotated[str, typer.Option(help="The gateway; else where the settings put it.")]


def ask(url: str, method: str, path: str, **request: Any) -> dict[str, Any]:
    """Return the gateway's answer; where it refuses, print why and exit with 1."""
    settings = load_settings()
    host = settings.websocket_host
    host = "127.0.0.1" if host in ANYWHERE else host
    scheme = "https" if settings.gateway_tls_cert else "http"
    base = url.rstrip("/") or f"{scheme}://{host}:{settings.websocket_port}"
    try:
        answer = httpx.request(
            method, base + path, timeout=TIMEOUT_S, headers=_shown(settings), **request
        )
    except (httpx.TransportError, httpx.InvalidURL) as e:
        raise Misconfigured(
            "STREAMER_WEBSOCKET_PORT",
            f"no gateway answers at {base} ({e})",
            remedy="Start it (`fibstream gateway`, `fibstream up`), or name another with --url.",
        ) from e
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    typer.echo(_problem(answer), err=True)
    raise typer.Exit(1)


def _shown(settings: Settings) -> dict[str, str]:
    key = settings.gateway_key
    return {"X-API-Key": key.get_secret_value()} if key else {}


def _problem(answer: httpx.Response) -> str:
    detail = answer.json()["detail"] if _is_json(answer) else answer.text
    if not isinstance(detail, dict):
        return f"HTTP {answer.status_code}: {detail}"
    near = f" (near: {', '.join(detail['near'])})" if detail.get("near") else ""
    return f"{detail['reason']}{near}"


def _is_json(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type")).startswith("application/json")
