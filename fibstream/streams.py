"""``fibstream streams``: what runs, and what shall, asked of the gateway.

A stream is named as in ``docs/control.md``: ``binance BTCUSDT trades``.
"""

import json
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from runtime.errors import Misconfigured
from runtime.settings import load_settings

TIMEOUT_S = 15.0
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - where the gateway listens is not where it is asked

app = typer.Typer(no_args_is_help=True, help="Which streams run: list, add, remove, knobs.")

Exchange = Annotated[str, typer.Argument(help="binance, BinanceLinear, ...")]
Symbol = Annotated[str, typer.Argument(help="The venue's own name, or the unified one.")]
Kind = Annotated[str, typer.Argument(help="trades, books, funding, ...")]
Channel = Annotated[str | None, typer.Option(help="spot or linear.")]
Url = Annotated[str, typer.Option(help="The gateway; else where the settings put it.")]
Knob = Annotated[bool | None, typer.Option()]


@app.command("list")
def list_streams(
    exchange: Annotated[str | None, typer.Option()] = None,
    state: Annotated[str | None, typer.Option(help="live, silent, refused, ...")] = None,
    url: Url = "",
) -> None:
    """List the streams that are wanted or run, one a line."""
    filters = {"exchange": exchange, "state": state}
    query = {name: value for name, value in filters.items() if value}
    offset = 0
    while True:
        page = _ask(url, "GET", "/streams", params={**query, "offset": offset, "limit": 500})
        for each in page["streams"]:
            typer.echo(_line(each))
        offset += 500
        if offset >= page["count"]:
            return


@app.command()
def add(
    exchange: Exchange, symbol: Symbol, kind: Kind, channel: Channel = None, url: Url = ""
) -> None:
    """Want a stream, also after restarts."""
    _show(_ask(url, "POST", "/streams", json=_named(exchange, symbol, kind, channel)))


@app.command()
def remove(
    exchange: Exchange, symbol: Symbol, kind: Kind, channel: Channel = None, url: Url = ""
) -> None:
    """Want a stream no more, whatever the settings of its ingestor say."""
    _show(_ask(url, "DELETE", "/streams", json=_named(exchange, symbol, kind, channel)))


@app.command()
def knobs(
    exchange: Exchange,
    symbol: Symbol,
    kind: Kind,
    transport: Annotated[str, typer.Argument(help="ws or http")] = "ws",
    enabled: Knob = None,
    db_writes_enabled: Knob = None,
    redis_publishes_enabled: Knob = None,
    channel: Channel = None,
    url: Url = "",
) -> None:
    """Show the knobs of a stream, after turning those that are named."""
    turned = {
        "enabled": enabled,
        "db_writes_enabled": db_writes_enabled,
        "redis_publishes_enabled": redis_publishes_enabled,
    }
    turned = {name: value for name, value in turned.items() if value is not None}
    path = "/".join(quote(part, safe="") for part in (exchange, symbol, kind, transport))
    asked: dict[str, Any] = {"params": {"channel": channel} if channel else {}}
    if turned:
        asked["json"] = turned
    answer = _ask(url, "PATCH" if turned else "GET", f"/streams/{path}/knobs", **asked)
    typer.echo(json.dumps(answer))


def _named(exchange: str, symbol: str, kind: str, channel: str | None) -> dict[str, str]:
    named = {"exchange": exchange, "symbol": symbol, "kind": kind}
    return named | ({"channel": channel} if channel else {})


def _show(answer: dict[str, Any]) -> None:
    for each in answer.get("streams", [answer]):
        typer.echo(_line(each))


def _line(stream: dict[str, Any]) -> str:
    names = ("exchange", "channel", "symbol", "kind", "transport")
    off = [name for name in ("db_writes", "redis_publishes") if not stream[f"{name}_enabled"]]
    words = [stream[name] for name in names]
    words += ["wanted" if stream["enabled"] else "not-wanted", stream["state"] or "not-told"]
    return " ".join([*words, *(f"no-{name}" for name in off), stream["detail"]]).rstrip()


def _ask(url: str, method: str, path: str, **request: Any) -> dict[str, Any]:
    settings = load_settings()
    host = settings.websocket_host
    host = "127.0.0.1" if host in ANYWHERE else host
    base = url.rstrip("/") or f"http://{host}:{settings.websocket_port}"
    try:
        answer = httpx.request(method, base + path, timeout=TIMEOUT_S, **request)
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


def _problem(answer: httpx.Response) -> str:
    detail = answer.json()["detail"] if _is_json(answer) else answer.text
    if not isinstance(detail, dict):
        return f"HTTP {answer.status_code}: {detail}"
    near = f" (near: {', '.join(detail['near'])})" if detail.get("near") else ""
    return f"{detail['reason']}{near}"


def _is_json(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type")).startswith("application/json")
