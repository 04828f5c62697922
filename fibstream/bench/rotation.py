"""``fibstream bench rotation``: planned ends of connections under load, nothing lost or doubled.

The simulator trades in a process of its own and knows what it sent; one feed of a production desk
lives shortly, and a producer remembers what it published.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import msgspec
from prometheus_client import REGISTRY

from fibstream.bench.desks import Wanted, running_desk
from ingest.exchanges import exchange as exchange_named
from ingest.plan import instruments
from ingest.rest import open_host
from runtime.child import ChildSpec
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from schemas.streams import Kind
from schemas.topics import BOOKS, TRADES
from schemas.trades import Channel, decode_batch
from schemas.updates import BookUpdates

CHANNEL: Channel = "linear"
CASES: tuple[tuple[str, Kind], ...] = (
    ("binance", "trades"),
    ("bybit", "trades"),  # its ids only tell trades apart
    ("bybit", "books"),  # a snapshot a subscription: two sockets must not mix
    ("binance", "books"),  # a snapshot by REST: both sockets tell the same book
)
SYMBOLS = 12
LIFETIME_S = 2.5  # the overlap takes 2 s of it
SETTLE_S = 1.0
ROWS_ASKED = 100_000

_decode_books = msgspec.json.Decoder(BookUpdates).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, and how often."""

    rotations: int = 20
    trades_per_s: float = 5_000.0
    lifetime_s: float = LIFETIME_S


@dataclass(slots=True)
class Published:
    """A producer that acknowledges at once and keeps what tells losses."""

    ids: dict[str, list[str]] = field(default_factory=dict)
    recv_ns: list[int] = field(default_factory=list)
    """Of each record of books."""
    deltas: int = 0
    snapshots: int = 0
    broken: int = 0
    """Deltas that do not continue what was published before."""
    _last_ids: dict[str, int] = field(default_factory=dict)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        *,
        key: bytes | None = None,  # noqa: ARG002 - a producer's arguments
        partition: int | None = None,  # noqa: ARG002
    ) -> asyncio.Future[object]:
        """Take one record."""
        if topic.endswith(TRADES.name):
            for group in decode_batch(value or b"").symbols:
                told = group.uid or group.id
                self.ids.setdefault(group.symbol, []).extend(map(str, told))
        elif topic.endswith(BOOKS.name):
            self._follow(_decode_books(value or b""))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _follow(self, updates: BookUpdates) -> None:
        self.recv_ns.append(updates.recv_ns)
        for book in updates.data:
            if book.type == "snapshot":
                self.snapshots += 1
            else:
                self.deltas += 1
                self.broken += book.prev_id != self._last_ids.get(book.symbol)
            self._last_ids[book.symbol] = book.last_id


async def bench_rotation(settings: Settings, load: Load | None = None) -> dict[str, Any]:
    """Rotate one feed of each case; Binance's trades stand first, for they have a target."""
    load = load or Load()
    reports = {f"{name} {kind}": await measure(settings, name, kind, load) for name, kind in CASES}
    ok = all(report["ok"] for report in reports.values())
    return {**reports["binance trades"], "ok": ok, "cases": reports}


async def measure(settings: Settings, name: str, kind: Kind, load: Load) -> dict[str, Any]:
    """Rotate one feed of a kind of an exchange; raise TimeoutError where it takes too long."""
    async with _simulator(name, load.trades_per_s) as url:
        settings = settings.model_copy(
            update={
                "exchange": name,
                "redis_url": None,
                "exchange_linear_rest_url": f"{url}/{name}/{CHANNEL}",
                "exchange_linear_ws_url": f"{url.replace('http', 'ws')}/{name}/{CHANNEL}",
            }
        )
        exchange = exchange_named(name)
        market = exchange.markets[CHANNEL]
        async with open_host(settings, name, market) as host:
            listed = await instruments(settings, exchange, market, host.ask)
        wanted = Wanted(
            exchange=exchange,
            market=market,
            kind=kind,
            instruments=[i for i in listed if i.is_streamed][:SYMBOLS],
            lifetime_s=load.lifetime_s,
        )
        published, before = Published(), _rotations(name)
        async with httpx.AsyncClient(base_url=f"{url}/sim", timeout=30.0) as http:
            async with running_desk(settings, wanted, published):
                began = len(published.recv_ns)
                within_s = load.rotations * (load.lifetime_s + 2.0) + 30.0
                await _until(lambda: _rotations(name) - before >= load.rotations, within_s)
                rotations, ended = _rotations(name) - before, len(published.recv_ns)
                await http.post("/stop")
                await asyncio.sleep(SETTLE_S)
            facts = {"rotations": rotations, "trades_per_s": load.trades_per_s}
            if kind == "books":
                return facts | _judge_books(published, published.recv_ns[began:ended])
            sent = [await _sent(http, name, i.symbol) for i in wanted.instruments]
            symbols = [i.symbol for i in wanted.instruments]
            return facts | _judge_trades(published, dict(zip(symbols, sent, strict=True)))


def _judge_trades(published: Published, sent: dict[str, set[str]]) -> dict[str, Any]:
    counts = Counter((symbol, id_) for symbol, ids in published.ids.items() for id_ in ids)
    lost = sum((symbol, id_) not in counts for symbol, ids in sent.items() for id_ in ids)
    doubled = sum(count - 1 for count in counts.values())
    trades_sent = sum(map(len, sent.values()))
    return {
        "trades_sent": trades_sent,
        "trades_published": counts.total(),
        "lost": lost,
        "doubled": doubled,
        "ok": not (lost or doubled) and trades_sent > 0,
    }


def _judge_books(published: Published, recv_ns: list[int]) -> dict[str, Any]:
    pauses_ms = [(after - before) / 1e6 for before, after in pairwise(recv_ns)]
    return {
        "deltas": published.deltas,
        "snapshots": published.snapshots,
        "broken": published.broken,
        "pause_ms_median": round(median(pauses_ms), 1),
        "pause_ms_max": round(max(pauses_ms), 1),
        "ok": not published.broken and published.deltas > 0,
    }


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - counted by a metric
            await asyncio.sleep(0.02)


async def _sent(http: httpx.AsyncClient, exchange: str, symbol: str) -> set[str]:
    """Return the ids of all trades since the first that reached a socket.

    Those that happened while nobody listened are lost as well.
    """
    found: set[str] = set()
    from_row, is_heard = 0, False
    while True:
        asked = {"exchange": exchange, "market": CHANNEL, "symbol": symbol}
        asked |= {"from_row": str(from_row), "limit": str(ROWS_ASKED)}
        told = (await http.get("/trades", params=asked)).raise_for_status().json()
        if not told["row"]:
            return found
        from_row = told["row"][-1] + 1
        for id_, uid, sent_ns in zip(told["id"], told["uid"], told["sent_ns"], strict=True):
            is_heard = is_heard or sent_ns > 0
            if is_heard:
                found.add(str(uid or id_))


def _rotations(exchange: str) -> int:
    labels = {"exchange": exchange, "channel": CHANNEL, "reason": "planned"}
    return int(REGISTRY.get_sample_value("fibstream_ingest_reconnects_total", labels) or 0)


@asynccontextmanager
async def _simulator(exchange: str, trades_per_s: float) -> AsyncIterator[str]:
    """Yield the address of a simulated exchange in a process of its own."""
    spec = ChildSpec(
        name="simulator",
        argv=[
            *(sys.executable, "-m", "simulator", "--exchanges", exchange, "--markets", CHANNEL),
            *("--symbols", str(SYMBOLS), "--rate", str(trades_per_s)),
        ],
    )
    with TemporaryDirectory(prefix="fibstream-bench-") as folder:
        async with Supervisor([spec], data_dir=Path(folder)) as supervisor:
            await supervisor.start()
            yield f"http://127.0.0.1:{supervisor.facts['simulator']['port']}"
