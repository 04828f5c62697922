"""The ``fibstream`` command. Bad configuration ends with exit code 2 and one clear message."""

from typing import Annotated

import typer

from fibstream import stages
from runtime.errors import PipelineError
from runtime.shutdown import exit_code

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Exact, proven candles from crypto exchanges, over Kafka.",
)


@app.command()
def ingest() -> None:
    """Run the ingestor of STREAMER_EXCHANGE: exchange to Kafka."""
    raise typer.Exit(stages.ingest())


@app.command()
def process() -> None:
    """Run one worker: trades to candles, Kafka to Kafka."""
    raise typer.Exit(stages.process())


@app.command()
def sink(name: Annotated[str, typer.Argument(help="clickhouse, redis, ...")]) -> None:
    """Run one sink: Kafka to a store."""
    raise typer.Exit(stages.sink(name))


@app.command()
def gateway() -> None:
    """Run the WebSocket gateway and its page."""
    raise typer.Exit(stages.gateway())


def main() -> None:
    """Run the command line; expected errors become one message and an exit code."""
    try:
        app()
    except PipelineError as e:
        raise SystemExit(exit_code(e)) from e


if __name__ == "__main__":
    main()
