"""``fibstream chaos``: workers and their broker are harmed for a while, then one verdict.

What is judged is made by the workers from what the trades topic holds; the judge is an oracle
that reads the same topic (``fibstream.chaos.oracle``).
"""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import httpx
import structlog

from fibstream.chaos.arena import Arena, arena
from fibstream.chaos.crew import WORKER
from fibstream.chaos.directed import PLAYS, sabotaged, summary
from fibstream.chaos.oracle import consult
from fibstream.chaos.schedule import Act, draw
from fibstream.chaos.tape import Tape
from fibstream.chaos.truth import Frame, Truth
from fibstream.chaos.verdict import Told, Verdict, judge
from fibstream.truth import Truth as Exchange
from processors.app import SESSION_TIMEOUT_S
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.topics import GAPS, KLINES, KLINES_LIVE, PRICES, TRADES
from simulator import SimulatorOptions

logger = structlog.get_logger(__name__)

DAY_MS = 86_400_000
FRAMES: dict[str, Frame] = {
    **{f"{s}s": (1_000 * s, "") for s in (1, 2, 5, 7, 13, 30)},
    **{f"{m}m": (60_000 * m, "") for m in (1, 2)},
    "1w@mon": (7 * DAY_MS, "mon"),
    "1D@tz=Asia/Tokyo": (DAY_MS, "tz=Asia/Tokyo"),
    "1M": (30 * DAY_MS, "month"),
}
"""What is made and judged, by its text; of those of days what is told while they are open."""
PARTITIONS = 6
SYMBOLS = 6
WARM_UP_S = 3.0
QUIET_S = 2.0  # the exchange has stopped: so long without a record is the end of the trades
FED_WITHIN_S = 60.0
# Right candles end it at once: the patience is for machines where a worker takes long to start.
DRAIN_WITHIN_S = 480.0
DRAIN_QUIET_S = 120.0  # without a new candle
SELF_TEST_QUIET_S = 45.0
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosOptions:
    """``trades_per_s`` is the rate of all symbols of all exchanges together."""

    minutes: float = 1.0
    seed: int = 1
    workers: int = 3
    trades_per_s: float = 400.0
    symbols: int = SYMBOLS
    """Of each market of each exchange."""
    exchanges: Sequence[str] = ("binance", "bybit")
    without: str = ""
    """A safeguard that the workers lack: one of ``directed.PLAYS``, played with one worker."""
    quiet_s_max: float = DRAIN_QUIET_S

    @property
    def names(self) -> list[str]:
        """The workers that are there from the beginning."""
        return [f"worker-{n}" for n in range(1, self.workers + 1)]

    @property
    def guests(self) -> Sequence[str]:
        """The workers that join and leave."""
        return PLAYS[self.without].guests if self.without else ("guest-1", "guest-2")

    def schedule(self) -> list[Act]:
        """Return what will be done: the same for the same options."""
        if self.without:
            return []  # what the safeguard is for happens by itself
        return draw(
            self.seed,
            minutes=self.minutes,
            workers=self.names,
            guests=self.guests,
            session_s=SESSION_TIMEOUT_S,
        )


class Witness:
    """Reads what is to be judged, a little further at each call."""

    def __init__(self, settings: Settings) -> None:
        def tape(topic: str) -> Tape:
            name = settings.kafka_topic_prefix + topic
            return Tape(settings.kafka_bootstrap, name, settings.kafka_partitions)

        self._folder = settings.data_dir
        self._trades, self._klines = tape(TRADES.name), tape(KLINES.name)
        self._live, self._prices = tape(KLINES_LIVE.name), tape(PRICES.name)
        self._gaps = tape(GAPS.name)
        self._told = Told()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for tape in (self._trades, self._klines, self._live, self._prices, self._gaps):
            await self._stack.enter_async_context(tape)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def rows(self) -> int:
        """How many candles have been read, each as often as it was told."""
        return self._told.rows

    async def truth(self) -> Truth:
        """Return what the trades imply, once no more of them come."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + FED_WITHIN_S
        ends = -1
        while ends != (now := await self._trades.ends()) and loop.time() < deadline_s:
            ends = now
            await asyncio.sleep(QUIET_S)
        records = await self._trades.rest()
        return await asyncio.to_thread(consult, records, self._folder, FRAMES.values())

    async def verdict(self, truth: Truth) -> Verdict:
        """Judge everything that has been published until now."""
        self._told.take_klines(await self._klines.rest())
        self._told.take_live(await self._live.rest())
        self._told.take_prices(await self._prices.rest())
        self._told.take_gaps(await self._gaps.rest())
        return judge(truth, self._told)


def chaos_settings(settings: Settings) -> Settings:
    """Return the settings of a run: data apart and thrown away, the smallest of everything."""
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "chaos",
            "stream_kinds": ("trades",),
            "enable_spot_stream": True,
            "enable_linear_stream": True,
            "exchange_load_all_symbols": True,
            "kline_intervals": tuple(FRAMES),
            "process_agents": ("klines",),
            "process_workers": 1,
            "aggregator_mode": "trades",
            "empty_candles": "venue",
            "kafka_topic_prefix": "",
            "kafka_partitions": PARTITIONS,
            "kafka_heap_mb": 512,
            "log_format": "json",
            "log_level": "INFO",
        }
    )


async def run_chaos(settings: Settings, options: ChaosOptions) -> dict[str, Any]:
    """Harm the workers by the schedule of the seed, or by what a safeguard is for; report."""
    settings = chaos_settings(settings)
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    settings.data_dir.mkdir(parents=True)
    acts = options.schedule()
    argv = sabotaged(options.without, settings.data_dir) if options.without else WORKER
    simulator = SimulatorOptions(
        exchanges=tuple(options.exchanges),
        symbols=options.symbols,
        trades_per_s=options.trades_per_s,
        seed=options.seed,
    )
    async with arena(
        settings, simulator, workers=options.names, guests=options.guests, argv=argv
    ) as running:
        await asyncio.sleep(WARM_UP_S)
        if options.without:
            await PLAYS[options.without].happens(running)
        else:
            await running.play(acts)
        logger.info("acts_ended", done=len(running.done))
        verdict = await _settle(running, options.quiet_s_max)
        starts = running.crew.starts
    told = asdict(verdict)
    differences = told.pop("differences")
    return {
        "ok": verdict.ok,
        "without": options.without,
        "seed": options.seed,
        "minutes": options.minutes,
        "kills": running.kills,
        "starts": starts,
        **told,
        "schedule": [asdict(act) for act in acts],
        "differences": differences,
    }


def lacking(options: ChaosOptions, without: str) -> ChaosOptions:
    """Return the options of a run without a safeguard; raise Misconfigured for an unknown one."""
    if without not in PLAYS:
        raise Misconfigured(
            "--without", f"there is no safeguard {without!r}", remedy=f"Known: {', '.join(PLAYS)}"
        )
    play = PLAYS[without]
    return replace(
        options,
        without=without,
        workers=1,
        quiet_s_max=SELF_TEST_QUIET_S,
        trades_per_s=play.trades_per_s,
        symbols=play.symbols,
    )


async def self_test(settings: Settings) -> dict[str, Any]:
    """Switch off one safeguard after the other; the verdict must fail each time."""
    reports = {}
    options = ChaosOptions(exchanges=("binance",))
    for without in PLAYS:
        reports[without] = await run_chaos(settings, lacking(options, without))
        logger.info("self_test_played", without=without, ok=reports[without]["ok"])
    return summary(reports)


async def _settle(running: Arena, quiet_s_max: float) -> Verdict:
    """Stop the exchange, let everything drain, stop the workers, and judge."""
    async with httpx.AsyncClient(timeout=30.0) as client:
        await Exchange(client, running.simulator_port).stop()
    async with Witness(running.settings) as witness:
        truth = await witness.truth()
        loop = asyncio.get_running_loop()
        began_s = news_s = loop.time()
        rows = 0
        while not (verdict := await witness.verdict(truth)).is_complete:
            if rows != witness.rows:
                rows, news_s = witness.rows, loop.time()
            if loop.time() > min(news_s + quiet_s_max, began_s + DRAIN_WITHIN_S):
                break  # what is not there by now is lost
            await asyncio.sleep(POLL_S)
        logger.info("drained", ok=verdict.ok, after_s=round(loop.time() - began_s, 1))
        await running.crew.leave_all()  # their last words count as well
        return await witness.verdict(truth)
