"""``fibstream backfill``: the past of some symbols, with progress bars and a summary."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingest.recovery.backfill import Done, Wanted, backfill
from runtime.errors import Misconfigured
from runtime.logs import configure_logging
from runtime.settings import Settings
from runtime.shutdown import EXIT_INTERRUPTED
from runtime.shutdown import run as run_until_stopped

DAY_MISSING = 1  # the exit code


def moment_ms(option: str, text: str) -> int:
    """Return a day or a time, UTC where it names no zone, as ms; raise Misconfigured."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as e:
        raise Misconfigured(option, f"{text!r} is no day", remedy="Example: 2024-01-31") from e
    zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1_000)


def wanted_of(channel: str, symbols: str, from_day: str, to_day: str | None, source: str) -> Wanted:
    """Return what the options ask for; raise Misconfigured naming the first that cannot be."""
    if channel not in ("spot", "linear"):
        raise Misconfigured("--channel", f"{channel!r} is unknown", remedy="spot or linear")
    if source not in ("auto", "rest", "archive"):
        raise Misconfigured("--source", f"{source!r} is unknown", remedy="auto, rest or archive")
    names = tuple(dict.fromkeys(name.strip() for name in symbols.split(",") if name.strip()))
    if not names:
        raise Misconfigured("--symbols", "names none", remedy="Example: BTCUSDT,ETHUSDT")
    from_ms = moment_ms("--from", from_day)
    to_ms = moment_ms("--to", to_day) if to_day else None
    end_ms = to_ms or time.time_ns() // 1_000_000
    if end_ms <= from_ms:
        raise Misconfigured("--from", "is not before --to", remedy="Give the older day first.")
    return Wanted(
        channel=channel,  # type: ignore[arg-type]
        symbols=names,
        from_ms=from_ms,
        to_ms=to_ms,
        source=source,  # type: ignore[arg-type]
    )


def run_backfill(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Run it, and print what came of it; return the exit code."""
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}), process="backfill")
    console = Console(stderr=True)
    bars = _bars(console) if console.is_terminal and not as_json else None
    found: list[Done] = []
    began_s = time.monotonic()

    async def work(stop: asyncio.Event) -> None:
        task = asyncio.ensure_future(backfill(settings, wanted, _shower(bars)))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            return
        found.extend(task.result())

    with bars or nullcontext():
        code = run_until_stopped(work)
    if code or not found:
        if not code:
            print("stopped; the same command goes on from here", file=sys.stderr)  # noqa: T201
        return code or EXIT_INTERRUPTED
    report = _report(settings.exchange, wanted, found, time.monotonic() - began_s)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        Console().print(_table(found))
    return 0 if report["ok"] else DAY_MISSING


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days, {task.fields[trades]:,} trades"),
        TimeElapsedColumn(),
        console=console,
    )


def _shower(bars: Progress | None) -> Any:
    tasks: dict[str, Any] = {}

    def show(done: Done) -> None:
        if bars is None:
            return
        if done.symbol not in tasks:
            tasks[done.symbol] = bars.add_task(done.symbol, total=done.days, trades=0)
        bars.update(tasks[done.symbol], completed=done.days_done, trades=done.trades)

    return show


def _report(exchange: str, wanted: Wanted, found: Sequence[Done], took_s: float) -> dict[str, Any]:
    trades = sum(sum(done.by_source.values()) for done in found)
    return {
        "exchange": exchange,
        "channel": wanted.channel,
        "from_ms": wanted.from_ms,
        "to_ms": wanted.to_ms,
        "symbols": [asdict(done) for done in found],
        "trades": trades,
        "seconds": round(took_s, 3),
        "trades_per_s": round(trades / took_s) if took_s else 0,
        "ok": not any(done.missing_days for done in found),
    }


def _table(found: Sequence[Done]) -> Table:
    table = Table("symbol", "days", "done before", "trades", "from", "missing days")
    for done in found:
        sources = ", ".join(f"{name} {count:,}" for name, count in done.by_source.items())
        if done.nothing_before:
            sources += f"; nothing before {done.nothing_before}"
        missing = ", ".join(done.missing_days[:5]) + (" ..." if len(done.missing_days) > 5 else "")
        table.add_row(
            done.symbol,
            str(done.days),
            str(done.days_before),
            f"{done.trades:,}",
            sources or "-",
            missing or "none",
        )
    return table
