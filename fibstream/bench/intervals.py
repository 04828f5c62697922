"""``fibstream bench intervals``: what 8 and 20 intervals cost a worker, against one.

One of a minute and one of a second are two things: most candles of a second hold a trade or two, so
they are rows that a minute alone does not have, whatever else is made beside them. Ratios are told
against both, and for 20 intervals without the second against the minute.

The same trades for each, on one broker; each worker has topics of its own under a prefix. Every
second round goes backwards, so that a machine that gets slower does not make a ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fibstream.bench.broker import own_broker, produce
from fibstream.bench.load import Shape, records
from fibstream.bench.processor import PARTITIONS, TRADES_OF, run_worker
from runtime.settings import Settings

EIGHT = ("1s", "1m", "5m", "15m", "1h", "4h", "1D", "173m")
LADDER = ("2m", "3m", "8m", "13m", "21m", "34m", "55m", "89m", "144m", "233m", "377m", "610m")
SETS: Mapping[str, Sequence[str]] = {
    "minute": ("1m",),
    "second": ("1s",),
    "8": EIGHT,
    "20": (*EIGHT, *LADDER),
    "20 minutes": (*EIGHT[1:], *LADDER, "30m"),
}
RATIOS = {
    "20_by_minute": ("20", "minute"),
    "20_by_second": ("20", "second"),
    "20_minutes_by_minute": ("20 minutes", "minute"),
}
LIKE_FOR_LIKE = ("20_by_second", "20_minutes_by_minute")
RATIO_MAX = 1.3

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much: ``share`` of the trades that ``bench processor`` takes, so many rounds."""

    share: float = 1.0
    rounds: int = 1


async def bench_intervals(settings: Settings, load: Load) -> Report:
    """Measure both shapes, candles alone; ok is by the ratios that compare like with like."""
    settings = settings.model_copy(update={"process_agents": ("klines",)})
    reports = {shape: await _measure(settings, shape, load) for shape in TRADES_OF}
    ratios = (report["cpu_ratios"] for report in reports.values())
    is_ok = all(found[name] <= RATIO_MAX for found in ratios for name in LIKE_FOR_LIKE)
    return reports | {"ratio_max": RATIO_MAX, "ok": is_ok}


async def _measure(settings: Settings, shape: Shape, load: Load) -> Report:
    trades = int(TRADES_OF[shape] * load.share)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SETS}
    async with own_broker(settings, PARTITIONS) as found:
        for number in range(load.rounds):
            prefixes = {name: f"round{number}-{name.replace(' ', '-')}." for name in SETS}
            made = records(shape, trades, PARTITIONS)
            produced = await produce(found, made, list(prefixes.values()))
            for name in list(SETS)[:: 1 if number % 2 == 0 else -1]:
                update = {"kline_intervals": SETS[name], "kafka_topic_prefix": prefixes[name]}
                runs[name].append(await run_worker(found.model_copy(update=update), produced))
    return told(runs)


def told(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> Report:
    """Return the middle of each set's runs, and the ratios of their CPU."""
    report: Report = {name: _middle(some) for name, some in runs.items()}
    cpu = {name: middle["cpu_s_per_million"] for name, middle in report.items()}
    ratios = {name: round(cpu[many] / cpu[one], 2) for name, (many, one) in RATIOS.items()}
    return report | {"cpu_ratios": ratios}


def _middle(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}
