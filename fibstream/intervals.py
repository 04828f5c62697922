"""``fibstream intervals``: which candles are made, and which shall be, asked of the gateway."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from fibstream.asking import Url, ask

PATH = "/api/v1/intervals"

app = typer.Typer(no_args_is_help=True, help="Which intervals are made: list, add, remove, reset.")

Text = Annotated[str, typer.Argument(help="173m, 1w@mon, 1M, 1D@tz=Asia/Tokyo, fibonacci, ...")]


@app.command("list")
def list_intervals(
    removed: Annotated[bool, typer.Option(help="Also those that are wanted no more.")] = False,
    url: Url = "",
) -> None:
    """List the intervals that are made, shortest first, one a line."""
    _show(ask(url, "GET", PATH, params={"removed": removed}))


@app.command()
def add(interval: Text, url: Url = "") -> None:
    """Make candles of an interval, also after restarts."""
    _show(ask(url, "POST", PATH, json={"interval": interval}))


@app.command()
def remove(interval: Text, url: Url = "") -> None:
    """Make no more candles of an interval, whatever the settings say; those made stay stored."""
    _show(ask(url, "DELETE", PATH, json={"interval": interval}))


@app.command()
def reset(interval: Text, url: Url = "") -> None:
    """Take back what was said of an interval: the settings decide again."""
    _show(ask(url, "DELETE", f"{PATH}/{quote(interval, safe='')}"))


def _show(answer: dict[str, Any]) -> None:
    for each in answer.get("intervals", [answer]):
        wanted = "wanted" if each["enabled"] else "not-wanted"
        typer.echo(f"{each['interval']} {wanted} {each['source']}")
