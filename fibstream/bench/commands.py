"""``fibstream bench``: a command for each measurement; all print one report."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from fibstream import stages
from fibstream.bench.gateway_command import gateway
from fibstream.bench.history_command import history
from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Measure on this machine.")
app.command()(history)
app.command()(gateway)
console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]
Rate = Annotated[float, typer.Option(min=1, help="Trades a second.")]
Symbols = Annotated[int, typer.Option(min=2, max=4_000, help="On two markets together.")]
Throttle = Annotated[
    int, typer.Option(min=0, help="Open candles are published at most this often, ms.")
]
RunFor = Annotated[float, typer.Option("--for", min=2, help="Seconds each.")]


@app.command()
def processor(as_json: AsJson = False) -> None:
    """One worker through the whole processor: bulk and live-shaped trades."""
    from fibstream.bench.processor import bench_processor as measure

    _tell(asyncio.run(measure(_quiet_settings())), as_json=as_json)


@app.command()
def intervals(
    as_json: AsJson = False,
    share: Annotated[
        float, typer.Option(min=0.01, max=4, help="Of the trades of `bench processor`.")
    ] = 1.0,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Each in the middle of so many.")] = 1,
) -> None:
    """20 intervals against 8 and 1: what they cost one worker."""
    from fibstream.bench.intervals import Load
    from fibstream.bench.intervals import bench_intervals as measure

    report = asyncio.run(measure(_quiet_settings(), Load(share=share, rounds=rounds)))
    _end(report, as_json=as_json)


@app.command()
def peers(
    as_json: AsJson = False,
    trades: Annotated[int, typer.Option(min=100_000, help="For each.")] = 10_000_000,
    shape: Annotated[str, typer.Option(help="bulk or live.")] = "bulk",
    only: Annotated[
        str, typer.Option(help="Of confluent,aiokafka,streams-eos,streams-alo,quix.")
    ] = "",
    rounds: Annotated[int, typer.Option(min=1, max=20, help="There and back: A B B A.")] = 2,
    within_s: Annotated[float, typer.Option("--within", min=10, help="Seconds each.")] = 300.0,
) -> None:
    """Quix Streams, Kafka Streams and bare loops beside our worker, on the same trades."""
    from fibstream.bench.peers import Load
    from fibstream.bench.peers import bench_peers as measure

    if shape not in ("bulk", "live"):
        raise Misconfigured("--shape", f"{shape!r} is none", remedy="bulk or live")
    names = tuple(name for name in only.split(",") if name)
    load = Load(
        trades=trades,
        shape="bulk" if shape == "bulk" else "live",
        only=names,
        rounds=rounds,
        within_s=within_s,
    )
    _end(asyncio.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def latency(
    as_json: AsJson = False,
    rate: Rate = 5_000.0,
    symbols: Symbols = 200,
    run_for_s: RunFor = 20.0,
    throttle_ms: Throttle = 0,
) -> None:
    """From a frame of the exchange to a candle at a client, everything on this machine."""
    from fibstream.bench.latency import bench_latency as measure
    from fibstream.bench.live import Load

    load = Load(trades_per_s=rate, symbols=symbols, run_for_s=run_for_s, throttle_ms=throttle_ms)
    _end(uvloop.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def close(
    as_json: AsJson = False,
    rate: Rate = 5_000.0,
    symbols: Symbols = 200,
    run_for_s: RunFor = 60.0,
    throttle_ms: Throttle = 0,
) -> None:
    """From the end of a candle to the closed candle at a client, at the same load."""
    from fibstream.bench.close import bench_close as measure
    from fibstream.bench.live import Load

    load = Load(
        trades_per_s=rate,
        symbols=symbols,
        run_for_s=run_for_s,
        throttle_ms=throttle_ms,
        timeframes=("1s", "1m"),
    )
    _end(uvloop.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def day(
    as_json: AsJson = False,
    trades: Annotated[int, typer.Option(min=100_000, help="Of the whole day.")] = 50_000_000,
    symbols: Annotated[int, typer.Option(min=1, max=5_000)] = 700,
    intervals: Annotated[
        str, typer.Option(help="Which candles to make.")
    ] = "1m,3m,5m,15m,1h,4h,1D,173m",
) -> None:
    """A day of 700 futures, replayed through one worker."""
    from fibstream.bench.day import Load
    from fibstream.bench.day import bench_day as measure

    load = Load(trades=trades, symbols=symbols, intervals=intervals.split(","))
    _end(asyncio.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def parse(as_json: AsJson = False) -> None:
    """Trade frames to rows on one core, beside bare orjson.loads of the same frames."""
    from fibstream.bench.parse import bench_parse as measure

    _tell(measure(), as_json=as_json)


@app.command()
def rotation(
    as_json: AsJson = False,
    rotations: Annotated[int, typer.Option(min=1, help="Of each feed.")] = 20,
    rate: Rate = 5_000.0,
) -> None:
    """Planned ends of connections under load: nothing lost, nothing doubled."""
    from fibstream.bench.rotation import Load
    from fibstream.bench.rotation import bench_rotation as measure

    load = Load(rotations=rotations, trades_per_s=rate)
    _end(uvloop.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def ingest(
    as_json: AsJson = False,
    ticks_ms: Annotated[
        str, typer.Option(help="Fixed ticks of the publisher to compare: 2,5,20.")
    ] = "",
    rate: Rate = 20_000.0,
    run_for_s: RunFor = 15.0,
    worker: Annotated[bool, typer.Option(help="And what a worker spends on the records.")] = False,
) -> None:
    """700 symbols into a real broker: latency from the socket to the acknowledgement."""
    from fibstream.bench.ingest import Load
    from fibstream.bench.ingest import bench_ingest as measure

    ticks = tuple(float(text) / 1_000 for text in ticks_ms.split(",") if text)
    load = Load(trades_per_s=rate, run_for_s=run_for_s, ticks_s=ticks, with_worker=worker)
    _tell(uvloop.run(measure(_quiet_settings(), load)), as_json=as_json)


@app.command()
def warehouse(
    as_json: AsJson = False,
    trades: Annotated[int, typer.Option(min=1_000_000, help="Of 100 symbols in a month.")] = (
        10_000_000
    ),
    latency: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Report of bench latency, for the table."),
    ] = None,
) -> None:
    """From the trades topic into ClickHouse on one core, then what is asked of it."""
    from fibstream.bench.warehouse import Load
    from fibstream.bench.warehouse import bench_warehouse as measure

    told = None if latency is None else json.loads(latency.read_text())
    _end(asyncio.run(measure(_quiet_settings(), Load(trades=trades), told)), as_json=as_json)


def _quiet_settings() -> Settings:
    settings = stages.checked_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process="bench")
    return settings


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report))
    else:
        console.print_json(data=report)


def _end(report: dict[str, Any], *, as_json: bool) -> None:
    """Tell the report, and end with 1 where it says that something is not as it must be."""
    _tell(report, as_json=as_json)
    raise typer.Exit(0 if report["ok"] else 1)
