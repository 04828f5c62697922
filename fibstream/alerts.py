"""``fibstream alerts``: rules, asked of the gateway; ``run`` is the stage that obeys them.

A target holds a secret: ``--to`` also comes from FIBSTREAM_ALERT_TO, which no process list shows.
"""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fibstream.asking import Url, ask

PATH = "/api/v1/alerts"

app = typer.Typer(no_args_is_help=True, help="Alerts: run, list, add, remove, test.")

RuleId = Annotated[str, typer.Argument(metavar="ID", help="Of the rule.")]


@app.command()
def run() -> None:
    """Judge the rules and deliver what crosses, until told to stop; one process is enough."""
    from fibstream import stages

    raise typer.Exit(stages.alerts())


@app.command("list")
def list_alerts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    url: Url = "",
) -> None:
    """List the rules, one a line; targets are masked."""
    for each in ask(url, "GET", PATH)["alerts"]:
        typer.echo(json.dumps(each) if as_json else _line(each))


@app.command()
def add(
    rule_id: RuleId,
    kind: Annotated[str, typer.Argument(help="price-crosses, price-moves, volume-spike, ...")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="symbol=BTCUSDT level=100000 ..."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(envvar="FIBSTREAM_ALERT_TO", help="A URL of Apprise; several times."),
    ] = None,
    url: Url = "",
) -> None:
    """Write a rule, or change it: one that is there keeps its targets where none is named."""
    body = rule_body(rule_id, kind, fields or [], to or [])
    _show(ask(url, "POST", PATH, content=body))


@app.command()
def remove(rule_id: RuleId, url: Url = "") -> None:
    """Forget a rule, and what it has not delivered yet."""
    _show(ask(url, "DELETE", f"{PATH}/{quote(rule_id, safe='')}"))


@app.command("test")
def try_out(rule_id: RuleId, url: Url = "") -> None:
    """Send a test message to every target of a rule; exit 1 where one does not take it."""
    answer = ask(url, "POST", f"{PATH}/{quote(rule_id, safe='')}/test")
    for each in answer["deliveries"]:
        typer.echo(f"{each['to']} {'delivered' if each['ok'] else each['reason']}")
    raise typer.Exit(0 if answer["ok"] else 1)


def rule_body(rule_id: str, kind: str, fields: list[str], to: list[str]) -> bytes:
    """Return the rule as JSON, its values typed as the kind wants them; print why not, exit 1."""
    from schemas.alerts import BadRule, decode_rule_input, encode_alert

    named: dict[str, Any] = {"data_type": kind, "id": rule_id}
    for field in fields:
        name, found, value = field.partition("=")
        if not found:
            typer.echo(f"{name!r} is no FIELD=VALUE", err=True)
            raise typer.Exit(1)
        named[name] = value
    # Without targets a rule that exists keeps its own: the placeholder goes no further.
    named["to"] = to or ["placeholder://"]
    try:
        rule = decode_rule_input(json.dumps(named).encode(), lax=True)
    except BadRule as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(1) from None
    body = encode_alert(rule)
    return body if to else body.replace(b'"to":["placeholder://"],', b"", 1)


def _show(alert: dict[str, Any]) -> None:
    typer.echo(_line(alert))


def _line(alert: dict[str, Any]) -> str:
    plain = ("id", "data_type", "to", "enabled", "note", "changed_ms", "fired_ms", "active")
    counted = ("crossings", "waiting")
    words = [alert["id"], alert["data_type"]]
    words += [f"{k}={v}" for k, v in alert.items() if k not in plain + counted]
    words += [f"to={','.join(alert['to'])}", *(f"{name}={alert[name]}" for name in counted)]
    words += [] if alert["enabled"] else ["disabled"]
    return " ".join(words + (["active"] if alert["active"] else []))
