"""``fibstream bench intervals``: what 8 and 20 intervals cost a worker, against one.

The same trades for each, on one broker; each worker has topics of its own under a prefix. A round
runs them one after the other, so that a machine that gets slower does not make a ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fibstream.bench.broker import own_broker, produce
from fibstream.bench.load import Shape, records
from fibstream.bench.processor import PARTITIONS, TRADES_OF, run_worker
from runtime.settings import Settings

INTERVALS = (
    *("1m", "1s", "5m", "15m", "1h", "4h", "1D", "173m"),
    *("2m", "3m", "8m", "13m", "21m", "34m", "55m", "89m", "144m", "233m", "377m", "610m"),
)
COUNTS = (1, 8, 20)
RATIO_MAX = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much: ``share`` of the trades that ``bench processor`` takes, so many rounds."""

    share: float = 1.0
    rounds: int = 1


async def bench_intervals(settings: Settings, load: Load) -> dict[str, Any]:
    """Measure both shapes; ``ratio`` is the CPU of 20 intervals by that of one."""
    reports = {shape: await _measure(settings, shape, load) for shape in TRADES_OF}
    return reports | {"ok": all(r["ratio"] <= RATIO_MAX for r in reports.values())}


async def _measure(settings: Settings, shape: Shape, load: Load) -> dict[str, Any]:
    trades = int(TRADES_OF[shape] * load.share)
    runs: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
    async with own_broker(settings, PARTITIONS) as found:
        for number in range(load.rounds):
            prefixes = {count: f"round{number}-{count}." for count in COUNTS}
            made = records(shape, trades, PARTITIONS)
            produced = await produce(found, made, list(prefixes.values()))
            for count, prefix in prefixes.items():
                update = {"kline_intervals": INTERVALS[:count], "kafka_topic_prefix": prefix}
                runs[count].append(await run_worker(found.model_copy(update=update), produced))
    report: dict[str, Any] = {str(count): _middle(some) for count, some in runs.items()}
    one, most = report[str(COUNTS[0])], report[str(COUNTS[-1])]
    ratio = most["cpu_s_per_million"] / one["cpu_s_per_million"]
    return report | {"ratio": round(ratio, 2)}


def _middle(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}
