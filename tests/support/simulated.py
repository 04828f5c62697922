"""Simulated exchanges for one test, and a client that hides nothing of the wire."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulator import Simulator, SimulatorOptions

MARKETS = ("spot", "linear")
CANONICAL = {"spot": ("trade", "t", ""), "linear": ("aggTrade", "a", "/market")}
API = {"spot": "/binance/spot/api/v3", "linear": "/binance/linear/fapi/v1"}


@asynccontextmanager
async def simulating(**options):
    async with Simulator(SimulatorOptions(**{"symbols": 4, "trades_per_s": 400, **options})) as sim:
        base_url = f"http://127.0.0.1:{sim.port}"
        async with httpx.AsyncClient(base_url=base_url, timeout=30) as http:
            yield sim, http


def connect_to(sim, market, path, exchange="binance"):
    url = sim.url(market, exchange=exchange) + path
    return connect(url, max_queue=None, compression=None, max_size=None)


def listen(sim, market, *symbols, kind=""):
    name, _, tier = CANONICAL[market]
    streams = "/".join(f"{s.lower()}@{kind or name}" for s in symbols)
    return connect_to(sim, market, f"{tier}/stream?streams={streams}")


async def read_frames(ws, count):
    return [json.loads(await ws.recv()) for _ in range(count)]


async def drain(ws, quiet_s=0.3):
    """Everything until the line is quiet, or closed."""
    found = []
    try:
        while True:
            found.append(await asyncio.wait_for(ws.recv(), quiet_s))
    except (TimeoutError, ConnectionClosed):
        return found


async def ask(ws, **request):
    """The answer to a request, and the data that came before it."""
    await ws.send(json.dumps(request))
    data = []
    while True:
        frame = json.loads(await ws.recv())
        if "id" in frame:
            return frame, data
        data.append(frame)


async def inflict(http, **wish):
    answer = await http.post("/sim/fault", json=wish)
    assert answer.status_code == 200, answer.text
    return answer.json()["touched"]


async def fetch(http, path, **params):
    answer = await http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()
