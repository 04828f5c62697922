"""``fibstream keys``: who may use the gateway, asked of the gateway; ``generate`` asks nobody."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from fibstream.asking import Url, ask

PATH = "/api/v1/keys"

app = typer.Typer(no_args_is_help=True, help="The gateway's API keys: create, list, revoke.")


@app.command()
def generate() -> None:
    """Print a new key, and the hash of it that makes it the first admin key."""
    from sinks.gateway.security.keys import generate as new_key
    from sinks.gateway.security.keys import hash_text

    _, text = new_key()
    typer.echo(f"STREAMER_GATEWAY_KEY={text}")
    typer.echo(f"STREAMER_GATEWAY_ADMIN_KEY_HASH={hash_text(text)}")
    typer.echo("The first is for you, the second for the gateway; neither was stored.", err=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, as logs and lists will say.")],
    role: Annotated[Literal["viewer", "operator", "admin"], typer.Option()] = "viewer",
    days: Annotated[int | None, typer.Option(min=1, help="Until it expires; else never.")] = None,
    url: Url = "",
) -> None:
    """Make a key and print it, this once."""
    wanted: dict[str, Any] = {"name": name, "role": role}
    if days is not None:
        wanted["expires_in_days"] = days
    made = ask(url, "POST", PATH, json=wanted)
    typer.echo(made["key"])
    typer.echo(f"{made['id']} {made['role']}: it is not shown again", err=True)


@app.command("list")
def list_keys(url: Url = "") -> None:
    """List every key, oldest first, one a line."""
    for key in ask(url, "GET", PATH)["keys"]:
        typer.echo(_line(key))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `fibstream keys list` shows it.")],
    url: Url = "",
) -> None:
    """Let a key, its tokens and its connections open nothing any more."""
    typer.echo(_line(ask(url, "DELETE", f"{PATH}/{quote(key_id, safe='')}")))


def _line(key: dict[str, Any]) -> str:
    words = [key["id"], key["role"], "alive" if key["alive"] else "dead", key["name"]]
    if key["revoked_ms"] is not None:
        words.append(f"revoked={_time(key['revoked_ms'])}")
    elif key["expires_ms"] is not None:
        words.append(f"expires={_time(key['expires_ms'])}")
    return " ".join(words)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds")
