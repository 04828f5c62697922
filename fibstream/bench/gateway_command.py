"""The command ``fibstream bench gateway``."""

import json
from typing import Annotated

import typer
import uvloop

from fibstream import stages
from runtime.logs import configure_logging


def gateway(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = (
        False
    ),
    clients: Annotated[int, typer.Option(min=2, help="Beside websockets.broadcast.")] = 1_000,
    rate: Annotated[float, typer.Option(min=1, help="Candles a second for all of them.")] = (
        300_000.0
    ),
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Slices of each, in turns.")] = 4,
    slice_s: Annotated[float, typer.Option("--slice", min=1, help="Seconds of a slice.")] = 5.0,
    many: Annotated[int, typer.Option(min=2, max=9_000, help="Of the crowd.")] = 5_000,
    many_rate: Annotated[float, typer.Option(min=1, help="Candles a second for the crowd.")] = (
        50_000.0
    ),
    many_s: Annotated[float, typer.Option("--for", min=1, help="Seconds with the crowd.")] = 20.0,
) -> None:
    """The gateway's fan-out on one core, beside websockets.broadcast; then a crowd of clients."""
    from fibstream.bench.gateway import Plan, bench_gateway

    settings = stages.checked_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="bench")
    plan = Plan(
        clients=clients,
        rate=rate,
        rounds=rounds,
        slice_s=slice_s,
        many=many,
        many_rate=many_rate,
        many_s=many_s,
    )
    report = uvloop.run(bench_gateway(settings, plan))
    typer.echo(json.dumps(report, indent=None if as_json else 2))
    raise typer.Exit(0 if report["ok"] else 1)
