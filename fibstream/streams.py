"""``fibstream streams``: what runs, and what shall, asked of the gateway.

A stream is named as in ``docs/control.md``: ``binance BTCUSDT trades``.
"""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fibstream.asking import Url, ask

app = typer.Typer(no_args_is_help=True, help="Which streams run: list, add, remove, knobs.")

Exchange = Annotated[str, typer.Argument(help="binance, BinanceLinear, ...")]
Symbol = Annotated[str, typer.Argument(help="The venue's own name, or the unified one.")]
Kind = Annotated[str, typer.Argument(help="trades, books, funding, ...")]
Channel = Annotated[str | None, typer.Option(help="spot or linear.")]
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
        page = ask(url, "GET", "/streams", params={**query, "offset": offset, "limit": 500})
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
    _show(ask(url, "POST", "/streams", json=_named(exchange, symbol, kind, channel)))


@app.command()
def remove(
    exchange: Exchange, symbol: Symbol, kind: Kind, channel: Channel = None, url: Url = ""
) -> None:
    """Want a stream no more, whatever the settings of its ingestor say."""
    _show(ask(url, "DELETE", "/streams", json=_named(exchange, symbol, kind, channel)))


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
    answer = ask(url, "PATCH" if turned else "GET", f"/streams/{path}/knobs", **asked)
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
