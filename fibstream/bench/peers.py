"""``fibstream bench peers``: other engines and bare loops beside our worker, on the same trades.

One run and one broker, one after the other, every second round backwards, so that a machine that
gets slower makes no ratio. Nobody is fast by losing: all candles are compared with a plain fold.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fibstream.bench import peer_parts
from fibstream.bench.broker import own_broker
from fibstream.bench.load import Shape
from fibstream.bench.peer_trades import differences, read
from fibstream.bench.peers_load import (
    ENVELOPE,
    FULL,
    PARTITIONS,
    PLAIN,
    SHORT,
    Truth,
    clear,
    produce,
)
from fibstream.bench.peers_run import PeerFailed, run_ours, run_peer
from runtime.errors import Misconfigured
from runtime.settings import Settings

QUIX_SHARE = 8  # it takes an eighth of the trades: it needs seconds where others need a tenth
OURS = {"fibstream 1": ("1m",), "fibstream 8": ("1s", "1m", "5m", "15m", "1h", "4h", "1D", "173m")}
FORMS = {
    "plain": "rows of one symbol in decimal numbers, 100 a record, keyed by symbol",
    "envelope": "our records as version 1: columns in lists, many symbols a record, no key",
    "by-hand": "envelope, without a repartition and without telling anybody",
    "fibstream": "md.trades.v1 as our ingestors write it, packed where a record is large",
}

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program in one form; ``prefix`` says which topics it reads."""

    name: str
    script: str
    form: str
    guarantee: str = ""
    prefix: str = FULL

    @property
    def title(self) -> str:
        """The name under which it is reported."""
        return f"{self.name}, {self.form}"

    def command(self) -> list[str]:
        """Return its command, its parts fetched; raise Misconfigured where they cannot be had."""
        if self.guarantee:
            # Room for its heap and caches; the serial collector is the cheapest on two cores.
            return [*peer_parts.java("-Xmx2g", "-XX:+UseSerialGC"), self.script]
        return [str(peer_parts.python()), str(peer_parts.SCRIPTS / self.script)]


_FORMS = (PLAIN, ENVELOPE)
_GUARANTEES = {"eos": "exactly_once_v2", "alo": "at_least_once"}
PEERS = (
    *(Peer(name="confluent", script="loop_confluent.py", form=form) for form in _FORMS),
    *(Peer(name="aiokafka", script="loop_aiokafka.py", form=form) for form in _FORMS),
    *(
        Peer(name=f"streams-{short}", script="Klines", form=form, guarantee=guarantee)
        for short, guarantee in _GUARANTEES.items()
        for form in (*_FORMS, "by-hand")
    ),
    *(Peer(name="quix", script="quix.py", form=form, prefix=SHORT) for form in _FORMS),
)
Entrant = str | Peer
"""One of ``OURS``, or a peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, in which shape, how often, and who takes part (empty: everybody)."""

    trades: int = 10_000_000
    shape: Shape = "bulk"
    only: Sequence[str] = ()
    rounds: int = 2
    within_s: float = 300.0
    """Each of them, each time; who takes longer has failed."""

    def peers(self) -> list[Peer]:
        """Return who takes part; raise Misconfigured where nobody has such a name."""
        known = {peer.name: peer for peer in PEERS}
        for name in self.only:
            if name not in known:
                raise Misconfigured(
                    "--only", f"there is no peer {name!r}", remedy=f"Known: {', '.join(known)}."
                )
        return [peer for peer in PEERS if not self.only or peer.name in self.only]


async def bench_peers(settings: Settings, load: Load) -> Report:
    """Run everybody in every round; who fails is named, and left out from then on."""
    peers = load.peers()
    peer_parts.check_scripts()
    commands, failed = await asyncio.to_thread(_commands, peers)
    entrants: list[Entrant] = [*OURS, *(peer for peer in peers if peer in commands)]
    runs: dict[str, list[Report]] = {_title(entrant): [] for entrant in entrants}
    async with own_broker(settings, PARTITIONS) as found:
        truths = await produce(found, load.shape, load.trades, load.trades // QUIX_SHARE)
        for entrant in order(entrants, load.rounds):
            title = _title(entrant)
            if title in failed:
                continue
            try:
                report = await _run(found, load, entrant, commands, truths)
            except PeerFailed as e:
                failed[title] = str(e)
                _say(f"{title} failed: {e}")
            else:
                runs[title].append(report)
                _say(f"{title}: {report}")
            await clear(found)
    return {
        "shape": load.shape,
        "trades": truths[FULL].trades,
        "rounds": load.rounds,
        "forms": FORMS,
        **summary(runs, failed),
    }


def order(entrants: Sequence[Entrant], rounds: int) -> list[Entrant]:
    """Return who runs after whom: there and back, as often as there are rounds."""
    return [e for n in range(rounds) for e in (entrants if n % 2 == 0 else reversed(entrants))]


def summary(runs: Mapping[str, Sequence[Report]], failed: Mapping[str, str]) -> Report:
    """Return everybody's middle, ratios by our CPU, and who failed; ok is without a failure."""
    reports = {title: _middle(some) for title, some in runs.items() if some and title not in failed}
    for report in reports.values():
        for title in OURS.keys() & reports.keys():
            ratio = report["cpu_s_per_million"] / reports[title]["cpu_s_per_million"]
            report[f"cpu_by_{title.replace(' ', '_')}"] = round(ratio, 2)
    is_right = not any(report["differences"] for report in reports.values())
    return {"peers": reports, "failed": dict(failed), "ok": is_right and not failed}


def _middle(runs: Sequence[Report]) -> Report:
    return {
        "cpu_s_per_million": round(median(run["cpu_s_per_million"] for run in runs), 3),
        "trades_per_s": round(median(run["trades_per_s"] for run in runs)),
        "peak_rss_mb": max(run["peak_rss_mb"] for run in runs),
        "trades": runs[0]["trades"],
        "cpu_of_each_round": [run["cpu_s_per_million"] for run in runs],
        "differences": [text for run in runs for text in run["differences"]],
    }


def _commands(peers: Sequence[Peer]) -> tuple[dict[Peer, list[str]], dict[str, str]]:
    """Return the command of each peer, and why there is none for others."""
    found: dict[Peer, list[str]] = {}
    failed: dict[str, str] = {}
    for peer in peers:
        try:
            found[peer] = peer.command()
        except Misconfigured as e:
            failed[peer.title] = str(e)
    return found, failed


async def _run(
    settings: Settings,
    load: Load,
    entrant: Entrant,
    commands: Mapping[Peer, Sequence[str]],
    truths: Mapping[str, Truth],
) -> Report:
    if isinstance(entrant, str):
        lengths = OURS[entrant]
        return await run_ours(settings, lengths, truths[FULL], within_s=load.within_s)
    peer, truth = entrant, truths[entrant.prefix]
    topic = peer.prefix + (PLAIN if peer.form == PLAIN else ENVELOPE)
    out = settings.data_dir / f"{peer.title}.tsv"
    wanted = [settings.kafka_bootstrap, topic, peer.form, str(truth.trades), str(out)]
    if peer.guarantee:
        wanted += [peer.guarantee, str(settings.data_dir / peer.title)]
    report = await run_peer([*commands[peer], *wanted], within_s=load.within_s)
    candles = await asyncio.to_thread(read, out, is_plain=peer.form == PLAIN)
    only_closed = peer.name == "quix"  # it tells no others
    return report | {"differences": differences(candles, truth.candles, only_closed=only_closed)}


def _title(entrant: Entrant) -> str:
    return entrant if isinstance(entrant, str) else entrant.title


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - it takes minutes
