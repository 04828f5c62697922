"""The ``fibstream`` command. Bad configuration ends with exit code 2 and one clear message."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from fibstream import stages, streams
from runtime.errors import Misconfigured, PipelineError
from runtime.logs import configure_logging
from runtime.settings import Settings
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
    live: Annotated[bool, typer.Option(help="Stream from the exchange of the settings.")] = False,
    exchanges: Annotated[
        str, typer.Option(help="Simulated side by side: binance,bybit,... or all.")
    ] = "binance",
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
    names = demos.exchange_names(exchanges)
    options = demos.DemoOptions(
        run_for_s=run_for_s,
        exchanges=names,
        simulator=SimulatorOptions(
            exchanges=names, symbols=symbols, trades_per_s=rate, seed=seed, history_s=120
        ),
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
def faults(
    exchanges: Annotated[str, typer.Option(help="Whose faults: binance,bybit,... or all.")] = "all",
    as_json: AsJson = False,
) -> None:
    """Inflict every fault on every simulated exchange, and show what was seen of each."""
    from fibstream import faults as matrix
    from fibstream.demo import exchange_names

    report = stages.run_faults(stages.checked_settings(), exchange_names(exchanges))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        console.print(matrix.table(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def up(run_for_s: RunFor = None) -> None:
    """Run everything on this machine, streaming from the exchange itself."""
    raise typer.Exit(stages.up(stages.checked_settings(), run_for_s=run_for_s))


@app.command()
def record(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files are made.")],
    run_for_s: RunFor = None,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    rotate_mib: Annotated[int, typer.Option(min=1, help="A new file at this size, MiB.")] = 256,
    rotate_hours: Annotated[int, typer.Option(min=0, help="And each so many hours; 0: not.")] = 1,
) -> None:
    """Write the frames of STREAMER_EXCHANGE to files, as they come, for `fibstream replay`.

    What the settings say is streamed, without Kafka. A file X.jsonl.gz has a frame a line, and
    X.recv_ts.gz beside it their receive times in ns. The last line on stderr is one JSON object.
    """
    from ingest.recorder import RecordOptions
    from ingest.reel import Rotation

    options = RecordOptions(
        folder=folder,
        rotation=Rotation(mib_max=rotate_mib, hours=rotate_hours),
        run_for_s=run_for_s,
        frames_max=frames,
    )
    raise typer.Exit(stages.record(stages.checked_settings(), options))


@app.command()
def replay(
    files: Annotated[list[str], typer.Argument(help="Recorded frames, one a line; - is stdin.")],
    channel: Annotated[str, typer.Option(help="linear or spot.")],
    exchange: Annotated[str, typer.Option(help="The exchange that sent them.")] = "binance",
    to: Annotated[str, typer.Option(help="events, klines or book-tops.")] = "klines",
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


bench = typer.Typer(no_args_is_help=True, help="Measure on this machine.")
app.add_typer(bench, name="bench")
app.add_typer(streams.app, name="streams")


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


@bench.command("parse")
def bench_parse(as_json: AsJson = False) -> None:
    """Trade frames to rows on one core, beside bare orjson.loads of the same frames."""
    from fibstream.bench.parse import bench_parse as measure

    report = measure()
    if as_json:
        typer.echo(json.dumps(report))
    else:
        console.print_json(data=report)


@bench.command("rotation")
def bench_rotation(
    as_json: AsJson = False,
    rotations: Annotated[int, typer.Option(min=1, help="Of each feed.")] = 20,
    rate: Annotated[float, typer.Option(min=1, help="Trades a second.")] = 5_000.0,
) -> None:
    """Planned ends of connections under load: nothing lost, nothing doubled."""
    from fibstream.bench.rotation import Load
    from fibstream.bench.rotation import bench_rotation as measure

    settings = _quiet_settings()
    report = uvloop.run(measure(settings, Load(rotations=rotations, trades_per_s=rate)))
    _tell(report, as_json=as_json)
    raise typer.Exit(0 if report["ok"] else 1)


@bench.command("ingest")
def bench_ingest(
    as_json: AsJson = False,
    ticks_ms: Annotated[
        str, typer.Option(help="Fixed ticks of the publisher to compare: 2,5,20.")
    ] = "",
    rate: Annotated[float, typer.Option(min=1, help="Trades a second.")] = 20_000.0,
    run_for_s: Annotated[float, typer.Option("--for", min=2, help="Seconds each.")] = 15.0,
    worker: Annotated[bool, typer.Option(help="And what a worker spends on the records.")] = False,
) -> None:
    """700 symbols into a real broker: latency from the socket to the acknowledgement."""
    from fibstream.bench.ingest import Load
    from fibstream.bench.ingest import bench_ingest as measure

    ticks = tuple(float(text) / 1_000 for text in ticks_ms.split(",") if text)
    load = Load(trades_per_s=rate, run_for_s=run_for_s, ticks_s=ticks, with_worker=worker)
    _tell(uvloop.run(measure(_quiet_settings(), load)), as_json=as_json)


def _quiet_settings() -> Settings:
    settings = stages.checked_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="bench")
    return settings


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
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
