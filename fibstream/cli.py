"""The ``fibstream`` command. Bad configuration ends with exit code 2 and one clear message."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from fibstream import alerts, intervals, keys, recovery, stages, streams
from fibstream.bench import commands as bench
from runtime.errors import Misconfigured, PipelineError
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
def process(
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Side by side; else STREAMER_PROCESS_WORKERS."),
    ] = None,
) -> None:
    """Run workers: trades to candles, Kafka to Kafka."""
    raise typer.Exit(stages.process(workers))


@app.command()
def sink(name: Annotated[str, typer.Argument(help="clickhouse, redis, ...")]) -> None:
    """Run one sink: Kafka to a store."""
    raise typer.Exit(stages.sink(name))


@app.command()
def recompute() -> None:
    """Run the recompute worker: candles that very late trades changed, from ClickHouse."""
    raise typer.Exit(stages.recompute())


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
def migrate(
    cluster: Annotated[
        str | None, typer.Option(help="Of the servers; else STREAMER_CLICKHOUSE_CLUSTER.")
    ] = None,
    shows: Annotated[bool, typer.Option("--print", help="Show the SQL, and run nothing.")] = False,
) -> None:
    """Make or upgrade the ClickHouse tables; stop the sinks first when they are large."""
    from fibstream import migrate as migrations
    from runtime.logs import configure_logging

    settings = stages.checked_settings()
    if cluster is not None:
        settings = settings.model_copy(update={"clickhouse_cluster": cluster})
    if shows:
        typer.echo("\n".join(migrations.script(settings)))
        return
    configure_logging(settings, process="migrate")
    applied = migrations.migrate(settings)
    typer.echo("\n".join(applied) or "the tables are up to date")


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
def reconcile(
    exchange: Annotated[str | None, typer.Option(help="Only its candles.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only its candles.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="So far back.")] = 24.0,
    run_for_s: Annotated[
        float | None, typer.Option("--for", min=1, help="Follow it for so many seconds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sum up what became of comparing our candles with the exchanges' own."""
    from fibstream import reconcile as reconciling

    wanted = reconciling.Wanted(exchange=exchange, symbol=symbol, hours=hours, run_for_s=run_for_s)
    report = asyncio.run(reconciling.reconcile(stages.deployed_settings(), wanted))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        Console().print(reconciling.table(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def verify(
    exchange: Annotated[str, typer.Option(help="Only its trades.")] = "",
    channel: Annotated[str, typer.Option(help="Only spot, or linear.")] = "",
    symbol: Annotated[list[str] | None, typer.Option(help="Only this; several times.")] = None,
    full: Annotated[
        bool, typer.Option(help="From the beginning, whatever was trusted earlier.")
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="Ask for open gaps again, and wait until they are closed.")
    ] = False,
    repair_within_s: Annotated[
        float, typer.Option("--within", min=1, help="Seconds that --repair waits.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Find the trust point of every symbol in the warehouse, and the ids that are missing.

    Gaps are told on md.gaps.v1, each once, where STREAMER_KAFKA_BOOTSTRAP names a broker. Exit 1
    while something is missing that may still be recovered.
    """
    from fibstream import verify as verifying
    from sinks.integrity.warehouse import Scope

    wanted = verifying.Wanted(
        scope=Scope(exchange, channel, tuple(symbol or ())),
        full=full,
        repair=repair,
        repair_within_s=repair_within_s,
    )
    report = stages.run_verify(stages.checked_settings(), wanted)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        Console().print(verifying.table(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def export(
    symbol: Annotated[str, typer.Option(help="As the exchange names it.")],
    to: Annotated[Path, typer.Option(help="FILE.parquet, .csv, .arrow or .duckdb")],
    timeframe: Annotated[
        str | None, typer.Option(help="173m, 1w@mon, or minutes; without it: trades.")
    ] = None,
    exchange: Annotated[str, typer.Option(help="Whose.")] = "binance",
    channel: Annotated[str, typer.Option(help="linear or spot.")] = "linear",
    start: Annotated[str | None, typer.Option(help="2026-01-31, or ms since 1970.")] = None,
    end: Annotated[str | None, typer.Option(help="Not included.")] = None,
    url: Annotated[str | None, typer.Option(help="Of the gateway; else the settings'.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Read the embedded ClickHouse in it; its sink must be down.")
    ] = None,
    floats: Annotated[bool, typer.Option(help="Floats instead of exact decimals.")] = False,
) -> None:
    """Write candles of any interval, or trades, into a file."""
    from fibstream.export import export as write
    from fibstream.load import Asked

    if url is None and data_dir is None:
        settings = stages.checked_settings()
        url = f"http://{settings.websocket_host}:{settings.websocket_port}"
    asked = Asked.of(symbol, timeframe, exchange=exchange, channel=channel, start=start, end=end)
    numbers: Literal["float", "decimal"] = "float" if floats else "decimal"
    rows = write(asked, to, url=url, data_dir=data_dir, numbers=numbers)
    typer.echo(f"{rows} rows in {to}")


@app.command()
def chaos(
    minutes: Annotated[float, typer.Option(min=0.5, max=1_440, help="Of harm.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the schedule and of the exchanges.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Two more come and go.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Trades a second, all together.")] = 400.0,
    exchanges: Annotated[str, typer.Option(help="Simulated side by side.")] = "binance,bybit",
    without: Annotated[
        str, typer.Option(help="position-guard, awaiting, order, fence: a worker that lacks it.")
    ] = "",
    self_test: Annotated[bool, typer.Option(help="Without each in turn: all must fail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Kill, freeze and cut off workers and their broker, and judge every candle by an oracle."""
    from fibstream import chaos as chaotic
    from fibstream.demo import exchange_names

    options = chaotic.ChaosOptions(
        minutes=minutes,
        seed=seed,
        workers=workers,
        trades_per_s=rate,
        exchanges=exchange_names(exchanges),
    )
    options = chaotic.lacking(options, without) if without else options
    report = stages.run_chaos(stages.checked_settings(), options, console, self_test=self_test)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        console.print_json(data=report)
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


app.command()(recovery.recover)
app.command()(recovery.integrity)
app.command()(recovery.backfill)
app.add_typer(bench.app, name="bench")
app.add_typer(streams.app, name="streams")
app.add_typer(intervals.app, name="intervals")
app.add_typer(alerts.app, name="alerts")
app.add_typer(keys.app, name="keys")


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
