"""The ``fibstream`` command. Bad configuration ends with exit code 2 and one clear message."""

import asyncio
import json
import os
from typing import Annotated

import typer
from rich.console import Console

from fibstream import stages
from runtime.errors import Misconfigured, PipelineError
from runtime.logs import configure_logging
from runtime.shutdown import exit_code

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Exact, proven candles from crypto exchanges, over Kafka.",
)
console = Console(stderr=True)  # stdout belongs to the command's output

RunFor = Annotated[float | None, typer.Option("--for", min=1, help="Seconds; else until Ctrl-C.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]


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


@app.command()
def topics() -> None:
    """Create the topics of the catalogue where they are missing."""
    from fibstream.topics import create_topics

    created = asyncio.run(create_topics(stages.deployed_settings()))
    typer.echo("\n".join(created) or "every topic exists")


@app.command()
def demo(
    run_for_s: RunFor = None,
    as_json: AsJson = False,
    live: Annotated[bool, typer.Option(help="Stream from Binance itself.")] = False,
    symbols: Annotated[int, typer.Option(help="Symbols per market.")] = 12,
    rate: Annotated[float, typer.Option(help="Trades a second, all symbols together.")] = 400.0,
    seed: Annotated[int, typer.Option(help="Of the simulated exchange.")] = 7,
    port: Annotated[int | None, typer.Option(help="Of the page; 0: any free port.")] = None,
    kill: Annotated[
        list[str] | None,
        typer.Option(help="NAME@SECONDS: kill -9 it then (process, sink-clickhouse, ingest, ...)."),
    ] = None,
) -> None:
    """Run everything on this machine against a simulated exchange, and check every candle."""
    from fibstream import demo as demos
    from simulator import SimulatorOptions

    settings = stages.checked_settings()
    if port is not None:
        settings = settings.model_copy(update={"websocket_port": port})
    if live:
        raise typer.Exit(stages.up(settings, run_for_s=run_for_s))
    options = demos.DemoOptions(
        run_for_s=run_for_s,
        simulator=SimulatorOptions(symbols=symbols, trades_per_s=rate, seed=seed, history_s=120),
        kills=[_kill(text) for text in kill or ()],
    )
    code, report = stages.run_demo(settings, options, console)
    if report is not None:
        if as_json:
            typer.echo(json.dumps(report))
        else:
            console.print_json(data=report)
        code = 0 if report["ok"] else 1
        if not report["ok"]:
            first = (report["differences"] or ["see the counts"])[0]
            typer.echo(f"the verdict failed: {first}", err=True)
    raise typer.Exit(code)


@app.command()
def up(run_for_s: RunFor = None) -> None:
    """Run everything on this machine, streaming from the exchange itself."""
    raise typer.Exit(stages.up(stages.checked_settings(), run_for_s=run_for_s))


@app.command()
def replay(
    files: Annotated[list[str], typer.Argument(help="Recorded frames, one a line; - is stdin.")],
    channel: Annotated[str, typer.Option(help="linear or spot.")],
    exchange: Annotated[str, typer.Option(help="The exchange that sent them.")] = "binance",
    to: Annotated[str, typer.Option(help="events or klines.")] = "klines",
    intervals: Annotated[
        str | None, typer.Option(help="1m,5m,...; else STREAMER_KLINE_INTERVALS.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Exit 1 when a frame is refused.")] = False,
    as_json: Annotated[bool, typer.Option("--summary-json", help="The summary as JSON.")] = False,
) -> None:
    """Turn recorded frames into rows on stdout: exactly what the pipeline would have made.

    Times of receipt are taken from X.recv_ts.gz beside X.jsonl.gz; without it a trade is received
    when it happens.
    """
    from fibstream.replay import ReplayOptions, run_replay

    run_replay(
        ReplayOptions(
            exchange=exchange,
            channel=channel,
            files=files,
            to=to,
            intervals=intervals,
            settings=stages.checked_settings(),
            is_strict=strict,
            as_json=as_json,
        )
    )


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check every setting and dependency, and say what to do."""
    from fibstream import doctor as doctors

    findings = doctors.diagnose()
    if as_json:
        typer.echo(json.dumps(doctors.report(findings)))
    else:
        doctors.show(findings, console)
    raise typer.Exit(doctors.exit_code(findings))


bench = typer.Typer(no_args_is_help=True, help="Measure on this machine, on a real broker.")
app.add_typer(bench, name="bench")


@bench.command("processor")
def bench_processor(as_json: AsJson = False) -> None:
    """One worker through the whole processor: bulk and live-shaped trades."""
    from fibstream.bench.processor import bench_processor as measure

    settings = stages.checked_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="bench")
    report = asyncio.run(measure(settings))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        console.print_json(data=report)


def _kill(text: str) -> tuple[float, str]:
    name, at, seconds = text.partition("@")
    if not (name and at and seconds.replace(".", "", 1).isdigit()):
        raise Misconfigured("--kill", f"{text!r} is not NAME@SECONDS", remedy="Example: process@20")
    return float(seconds), name


def _reach_loopback() -> None:
    # With HTTP_PROXY set, clients would ask the proxy for our own servers. Children inherit this.
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, "127.0.0.1", "localhost", "::1"])


def main() -> None:
    """Run the command line; expected errors become one message and an exit code."""
    _reach_loopback()
    try:
        app()
    except PipelineError as e:
        raise SystemExit(exit_code(e)) from e


if __name__ == "__main__":
    main()
