"""Past trades a second, end to end: files and pages of the simulator to acknowledged records.

``fibstream backfill`` is the real process. REST is given what one minute's weight pays for, which
shows what the code reaches; what the venue allows in the long run is told beside it.
"""

import asyncio
import json
import resource
import sys
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from fibstream.bench.history_truth import EXCHANGE
from fibstream.topics import create_topics
from ingest.exchanges import exchange as exchange_named
from ingest.recovery.capabilities import capability
from runtime.settings import Settings
from schemas.intervals import DAY_MS, HOUR_MS
from schemas.trades import Channel
from simulator import Simulator, SimulatorOptions
from simulator.past import Past

SEED_PER_S = {"archive": 40_000, "rest": 10_000}
"""What a system of this kind is known to reach."""
PER_S = 12.0  # a million trades a day
PAST_DAYS = 3
REST_MS = 4 * HOUR_MS  # 170 pages of 240


class Wanted(NamedTuple):
    """One backfill."""

    source: Literal["archive", "rest"]
    channel: Channel
    from_ms: int
    to_ms: int


async def measure_speed(settings: Settings) -> dict[str, Any]:
    """Return trades a second of both sources, and what the venue would allow."""
    options = SimulatorOptions(symbols=1, past_days=PAST_DAYS, past_trades_per_s=PER_S)
    async with Simulator(options) as sim:
        sim.stop()
        from_ms = _past(sim).from_ms
        found: dict[str, dict[str, Any]] = {
            wanted.source: await _measured(_settings(settings, sim), sim, wanted)
            for wanted in (
                Wanted("archive", "linear", from_ms, from_ms + DAY_MS),
                Wanted("rest", "spot", from_ms, from_ms + REST_MS),
            )
        }
    markets = exchange_named(EXCHANGE).markets
    found["rest"]["venue_allows_per_s"] = {channel: _allowed(channel) for channel in markets}
    return found


def _past(sim: Simulator) -> Past:
    (ledger,) = sim.of(EXCHANGE)["linear"].ledgers.values()
    if ledger.past is None:
        raise AssertionError("a simulator without a past")
    return ledger.past


def _settings(settings: Settings, sim: Simulator) -> Settings:
    urls = {
        f"exchange_{channel}_rest_url": sim.url(channel, "rest", exchange=EXCHANGE)
        for channel in sim.of(EXCHANGE)
    }
    return settings.model_copy(
        update={"exchange_archive_url": sim.archive_url(EXCHANGE), "recovery_rest_share": 1.0}
        | urls
    )


def _allowed(channel: Channel) -> int:
    """Return the trades a second that a venue's weight pays for, when nobody else asks."""
    table = capability(EXCHANGE, channel)
    budget = exchange_named(EXCHANGE).markets[channel].rest_budget
    return int(budget.weight_max / budget.window_s / table.rest_weight * table.page_rows)


async def _measured(settings: Settings, sim: Simulator, wanted: Wanted) -> dict[str, Any]:
    (symbol,) = sim.of(EXCHANGE)[wanted.channel].ledgers
    if wanted.source == "archive":  # its file is made when somebody first asks for it
        await _backfill(await _apart(settings, "made"), symbol, wanted)
    own = await _apart(settings, wanted.source)
    told, cpu_s = await _backfill(own, symbol, wanted)
    again, start_cpu_s = await _backfill(own, symbol, wanted)  # which has nothing to do
    if again["trades"]:
        raise AssertionError(f"what is done was done again: {again}")
    per_s, seed = told["trades_per_s"], SEED_PER_S[wanted.source]
    return {
        "trades": told["trades"],
        "trades_per_s": per_s,
        "trades_per_cpu_s": round(told["trades"] / max(cpu_s - start_cpu_s, 0.01)),
        "start_cpu_s": round(start_cpu_s, 2),
        "seed_per_s": seed,
        "factor": round(per_s / seed, 1),
    }


async def _apart(settings: Settings, name: str) -> Settings:
    """Return settings for topics and files that nobody else has."""
    folder = settings.data_dir / name
    folder.mkdir()
    own = {"kafka_topic_prefix": f"speed.{name}.", "data_dir": folder}
    apart = settings.model_copy(update=own)
    await create_topics(apart)
    return apart


async def _backfill(
    settings: Settings, symbol: str, wanted: Wanted
) -> tuple[dict[str, Any], float]:
    """Return the report, and the CPU seconds of the process."""
    times = [datetime.fromtimestamp(ms / 1_000, UTC) for ms in (wanted.from_ms, wanted.to_ms)]
    argv = ["backfill", "--json", "--symbols", symbol, "--channel", wanted.channel]
    argv += ["--from", times[0].isoformat(), "--to", times[1].isoformat()]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fibstream", *argv, "--source", wanted.source),
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"backfill by {wanted.source}: {error.decode()[-2_000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told, used
