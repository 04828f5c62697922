"""The commands that fetch trades again: the service, and the past of some symbols."""

from typing import Annotated

import typer

from fibstream import stages


def recover() -> None:
    """Run the recovery of STREAMER_EXCHANGE: trades that are missing, from REST and archives."""
    raise typer.Exit(stages.recover())


def integrity() -> None:
    """Look for missing trades in the warehouse, at the start and every so often."""
    raise typer.Exit(stages.integrity())


def backfill(
    symbols: Annotated[str, typer.Option(help="As the exchange names them: BTCUSDT,ETHUSDT.")],
    from_day: Annotated[str, typer.Option("--from", help="2024-01-01, or a time; UTC.")],
    to_day: Annotated[
        str | None, typer.Option("--to", help="Up to this day or time, without it; else now.")
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Else STREAMER_EXCHANGE.")] = None,
    channel: Annotated[str, typer.Option(help="spot or linear.")] = "linear",
    source: Annotated[str, typer.Option(help="auto, rest or archive.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object as the last line.")
    ] = False,
) -> None:
    """Fetch past trades day by day into the pipeline; started again, it goes on where it was."""
    from fibstream.backfill import run_backfill, wanted_of

    wanted = wanted_of(channel, symbols, from_day, to_day, source)
    settings = stages.deployed_settings(**({"exchange": exchange} if exchange else {}))
    raise typer.Exit(run_backfill(settings, wanted, as_json=as_json))
