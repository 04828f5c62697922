"""``fibstream bench processor``: one worker, from the trades topic to candles and changelog.

The rate is taken between the first and the last checkpoint seen, so starting and joining the group
are not in it; CPU is the worker's own, all its threads together.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from fibstream.bench.broker import own_broker, produce
from fibstream.bench.footprint import footprint
from fibstream.bench.load import Shape, records
from runtime.child import ChildSpec
from runtime.settings import Settings
from runtime.supervisor import Supervisor

PARTITIONS = 4
TRADES_OF: Mapping[Shape, int] = {"bulk": 12_000_000, "live": 3_000_000}
POLL_S = 0.25  # each look costs the worker a few milliseconds
WITHIN_S = 300.0
WORKER = "process"
LOG_LINES = 10
METRICS = {
    "fibstream_process_trades_total": "trades",
    "fibstream_process_records_total": "records",
    "fibstream_process_outputs_total": "outputs",
}


class Sample(NamedTuple):
    """What a worker had done at a checkpoint, and what it had cost."""

    at_s: float
    trades: float
    records: float
    outputs: float
    cpu_s: float
    peak_rss_mb: float


async def bench_processor(settings: Settings) -> dict[str, Any]:
    """Measure both shapes, one after the other, each on a broker of its own."""
    return {shape: await _measure(settings, shape) for shape in TRADES_OF}


async def _measure(settings: Settings, shape: Shape) -> dict[str, float]:
    async with own_broker(settings, PARTITIONS) as found:
        load = records(shape, TRADES_OF[shape], PARTITIONS)
        produced = await produce(found, load, [found.kafka_topic_prefix])
        return await run_worker(found, produced)


async def run_worker(
    settings: Settings, produced: int, *, from_share: float = 0.0, within_s: float = WITHIN_S
) -> dict[str, float]:
    """Let a worker fold what was produced; return its rate and its costs.

    They are taken since ``from_share`` of the trades were folded: 0.5 is the second half.
    ``wall_s`` and ``cpu_s`` are of all since the process was started: imports, joining the group.
    """
    spec = ChildSpec(
        name=WORKER,
        argv=[sys.executable, "-m", "fibstream", "process"],
        env=settings.model_copy(update={"process_workers": 1}).environment(),
        ready_timeout_s=90,
    )
    began_s = time.monotonic()
    async with Supervisor([spec], data_dir=settings.data_dir) as supervisor:
        running = asyncio.create_task(_keep(supervisor))
        sampling = asyncio.create_task(_sample(supervisor, settings, produced, within_s))
        await asyncio.wait({running, sampling}, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, sampling):
            if task.done():
                task.result()  # only sampling comes to an end without an error
            task.cancel()
        samples = sampling.result()
        return _report(samples, from_share * produced) | {
            "wall_s": round(samples[-1].at_s - began_s, 1),
            "cpu_s": round(samples[-1].cpu_s, 1),
        }


async def _keep(supervisor: Supervisor) -> None:
    await supervisor.start()
    await supervisor.wait(asyncio.Event())


def _report(samples: list[Sample], from_trades: float) -> dict[str, float]:
    last = samples[-1]
    first = next(s for s in samples if s.trades >= from_trades)
    if first is last:
        raise RuntimeError("the worker was done between two checkpoints: give it more trades")
    trades = last.trades - first.trades
    return {
        "trades_per_s": round(trades / (last.at_s - first.at_s)),
        "cpu_s_per_million": round((last.cpu_s - first.cpu_s) / trades * 1e6, 3),
        "peak_rss_mb": round(last.peak_rss_mb),
        "trades": int(last.trades),
        "records": int(last.records),
        "outputs": int(last.outputs),
    }


async def _sample(
    supervisor: Supervisor, settings: Settings, produced: int, within_s: float
) -> list[Sample]:
    """Return a sample at every checkpoint, until all trades are folded."""
    port, log = settings.metrics_port, settings.data_dir / "logs" / f"{WORKER}.log"
    samples: list[Sample] = []
    deadline_s = time.monotonic() + within_s
    async with httpx.AsyncClient() as client:
        while not samples or samples[-1].trades < produced:
            if time.monotonic() > deadline_s:
                seen = samples[-1].trades if samples else 0
                problem = f"{seen:,.0f} of {produced:,} trades within {within_s:g} s"
                raise TimeoutError(f"{problem}\n{_end(log)}")
            await asyncio.sleep(POLL_S)
            try:
                page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
            except httpx.TransportError:
                continue  # it is still starting
            found = _counts(page)
            if samples and found["trades"] < samples[-1].trades:
                raise RuntimeError(f"the worker restarted during the measurement\n{_end(log)}")
            if found["trades"] and (not samples or found["trades"] > samples[-1].trades):
                used = footprint(supervisor.pid(WORKER))
                samples.append(Sample(time.monotonic(), **found, **used._asdict()))
    return samples


def _end(log: Path) -> str:
    """Return what the worker complained of last: its folder goes with the benchmark."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    told = [line for line in lines if '"level":"info"' not in line and "\tINFO" not in line]
    return "\n".join(told[-LOG_LINES:])


def _counts(page: str) -> dict[str, float]:
    found = dict.fromkeys(METRICS.values(), 0.0)
    for line in page.splitlines():
        name = METRICS.get(line.partition(" ")[0].partition("{")[0])
        if name:
            found[name] += float(line.rpartition(" ")[2])
    return found
