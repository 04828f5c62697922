"""The command ``fibstream bench history``."""

import asyncio
import json
from typing import Annotated

import typer

from fibstream import stages
from runtime.logs import configure_logging


def history(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")] = (
        False
    ),
    trades: Annotated[int, typer.Option(min=20_000, help="Of all symbols.")] = 10_000_000,
    kills: Annotated[int, typer.Option(min=0, max=100, help="Of one process after another.")] = 0,
    seed: Annotated[int, typer.Option(help="Of trades, gaps and kills.")] = 7,
    crowd: Annotated[
        bool, typer.Option(help="And more holes of one symbol than the engine remembers.")
    ] = False,
    within_s: Annotated[float, typer.Option("--within", min=30, help="Seconds.")] = 3_600.0,
    speed: Annotated[bool, typer.Option(help="Then measure REST and archive.")] = True,
) -> None:
    """30 gaps of all kinds punched into many trades, healed by the real processes, compared."""
    from fibstream.bench.history import bench_history
    from fibstream.bench.history_scene import Load

    settings = stages.checked_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="bench")
    load = Load(
        trades=trades,
        kills=kills,
        seed=seed,
        within_s=within_s,
        with_crowd=crowd,
        with_speed=speed,
    )
    report = asyncio.run(bench_history(settings, load))
    typer.echo(json.dumps(report, indent=None if as_json else 2))
    raise typer.Exit(0 if report["ok"] else 1)
