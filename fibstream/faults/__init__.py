"""``fibstream faults``: every fault of every simulated venue, one row each: seen, named or healed.

Real broker, real ingestors and a real worker; the observer reads the topics as any service would.
"""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from rich.table import Table

from fibstream.faults.cases import GLOBAL_CASES, SYMBOL_CASES, Case, Failed
from fibstream.faults.observer import Observer
from fibstream.faults.scene import Scene, Simulated
from fibstream.machine import Machine, Plan, ingestor, machine
from ingest.exchanges import EXCHANGES
from runtime.settings import Settings
from schemas.trades import Channel
from simulator import SimulatorOptions

WARM_UP_S = 12.0  # a stream needs a rhythm before its silence can be told
CASE_WITHIN_S = 60.0
TRADES_PER_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row: what became of a fault at a venue."""

    exchange: str
    channel: str
    symbol: str
    fault: str
    ok: bool
    outcome: str
    seconds: float


async def run_faults(settings: Settings, exchanges: Sequence[str]) -> dict[str, Any]:
    """Inflict every fault on every venue and report what was seen of it."""
    settings = settings.model_copy(
        update={
            "data_dir": settings.data_dir / "faults",
            "stream_kinds": ("all",),
            "enable_spot_stream": True,
            "enable_linear_stream": True,
            "exchange_load_all_symbols": True,
            "enabled_consumers": (),
            "kafka_bootstrap": "",
            "redis_host": "",
            "log_format": "json",
        }
    )
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    simulator = SimulatorOptions(
        exchanges=tuple(exchanges), symbols=len(SYMBOL_CASES), trades_per_s=TRADES_PER_S
    )
    plan = Plan(settings=settings, exchanges=exchanges, simulator=simulator, is_ephemeral=True)
    async with machine(plan) as running, httpx.AsyncClient(timeout=30.0) as client:
        simulated = Simulated(client, running.servers.facts["simulator"]["port"])
        async with Observer(running.settings) as observer:
            await asyncio.sleep(WARM_UP_S)
            findings = await _play(exchanges, simulated, observer)
        crashed = _crashed(running, exchanges)
    return {
        "ok": all(finding.ok for finding in findings) and not crashed,
        "crashed": crashed,
        "findings": [asdict(finding) for finding in findings],
    }


def table(report: dict[str, Any]) -> Table:
    """Return the report as a table: faults down, venues across."""
    findings = report["findings"]
    venues = list(dict.fromkeys(f"{f['exchange']} {f['channel']}" for f in findings))
    shown = Table("fault", *venues)
    for fault in dict.fromkeys(f["fault"] for f in findings):
        row = {
            f"{f['exchange']} {f['channel']}": f"{'' if f['ok'] else 'FAILED '}{f['outcome']} "
            f"({f['seconds']:.1f} s)"
            for f in findings
            if f["fault"] == fault
        }
        shown.add_row(fault, *(row.get(venue, "") for venue in venues))
    return shown


async def _play(
    exchanges: Sequence[str], simulated: Simulated, observer: Observer
) -> list[Finding]:
    """Faults of one symbol all at once, each on a symbol of its own; the others one by one."""
    markets = [_market(exchange) for exchange in exchanges]
    symbols: dict[tuple[str, str], list[str]] = defaultdict(list)  # busiest first
    for exchange, channel, symbol in await simulated.series():
        symbols[exchange, channel].append(symbol)

    def scenes(at: int) -> list[Scene]:
        return [
            Scene((*market, symbols[market][at]), simulated, observer, time.monotonic())
            for market in markets
        ]

    findings = await _all(
        (case, scene) for at, case in enumerate(SYMBOL_CASES) for scene in scenes(at)
    )
    for case in GLOBAL_CASES:
        findings += await _all((case, scene) for scene in scenes(0))
    return findings


async def _all(pairs: Iterable[tuple[Case, Scene]]) -> list[Finding]:
    return list(await asyncio.gather(*(_one(case, scene) for case, scene in pairs)))


async def _one(case: Case, scene: Scene) -> Finding:
    exchange, channel, symbol = scene.series
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(CASE_WITHIN_S):
            outcome, ok = await case.play(scene), True
    except Failed as e:
        outcome, ok = str(e), False
    except TimeoutError:
        outcome, ok = f"not within {CASE_WITHIN_S:g} s: {scene.waiting_for}", False
    return Finding(
        exchange=exchange,
        channel=channel,
        symbol=symbol,
        fault=case.name,
        ok=ok,
        outcome=outcome,
        seconds=round(time.monotonic() - began_s, 1),
    )


def _market(exchange: str) -> tuple[str, Channel]:
    """Return the market of a venue that the faults are played on: the richest in channels."""
    markets = EXCHANGES[exchange].markets
    return exchange, "linear" if "linear" in markets else "spot"


def _crashed(running: Machine, exchanges: Sequence[str]) -> list[str]:
    names = ["process", *(ingestor(exchange, exchanges) for exchange in exchanges)]
    return [name for name in names if running.stages.generation(name) > 1]
