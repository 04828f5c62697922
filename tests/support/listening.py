"""A plain client of one simulated market: the venue's own requests, the production parser."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from websockets.asyncio.client import connect

from ingest.books import BookKeeper
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import KIND_OF, Ack, BookRow
from runtime.errors import Poison
from simulator import Simulator, SimulatorOptions


@dataclass
class Heard:
    """What a listener made of the frames."""

    rows: dict[str, list] = field(default_factory=dict)
    answers: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    gaps: list = field(default_factory=list)
    books: dict[str, BookKeeper] = field(default_factory=dict)
    biggest: int = 0

    def take(self, market, frame):
        self.biggest = max(self.biggest, len(frame))
        try:
            rows = market.parse(frame)
        except Poison as e:
            self.refused.append(e)
            return
        for row in rows:
            if type(row) in KIND_OF:
                self.rows.setdefault(KIND_OF[type(row)], []).append(row)
            else:
                self.answers.append(row)
            if isinstance(row, BookRow):
                self._keep(market, row)

    def _keep(self, market, row):
        if row.symbol not in self.books:
            self.books[row.symbol] = BookKeeper(row.symbol, market.book)
        self.gaps += self.books[row.symbol].take(row, time.time_ns() // 1_000_000).gaps

    @property
    def acknowledged(self):
        return {answer.topic for answer in self.answers if isinstance(answer, Ack)}


@dataclass
class Client:
    """One connection of the market, and what it heard."""

    simulator: Simulator
    exchange: object
    market: object
    http: httpx.AsyncClient
    ws: object
    heard: Heard = field(default_factory=Heard)
    asked: int = 0

    @property
    def base(self):
        return self.simulator.url(self.market.channel, "rest", self.exchange.name)

    async def fetch(self, request):
        asked = "POST" if request.body else "GET"
        return await self.http.request(asked, self.base + request.path, content=request.body)

    async def symbols(self):
        bodies = [(await self.fetch(request)).content for request in self.market.instruments]
        return [i.symbol for i in self.market.read_instruments(bodies) if i.is_streamed]

    async def subscribe(self, *topics):
        for topic in topics:
            self.asked += 1
            await self.ws.send(self.exchange.subscribe([topic], self.asked).decode())

    async def unsubscribe(self, *topics):
        for topic in topics:
            self.asked += 1
            await self.ws.send(self.exchange.unsubscribe([topic], self.asked).decode())

    async def subscribe_all(self):
        wanted = {
            topic: None
            for symbol in await self.symbols()
            for subscription in self.market.subscriptions
            for topic in subscription.topics(symbol)
        }
        await self.subscribe(*wanted)
        await self.until(lambda heard: heard.acknowledged >= set(wanted))

    async def until(self, is_enough, within_s=20.0):
        """Listen until it is enough; a TimeoutError says that it never was."""
        async with asyncio.timeout(within_s):
            while not is_enough(self.heard):
                self.heard.take(self.market, await self.ws.recv(decode=False))

    async def quiet(self, quiet_s=0.5):
        """Listen until no frame came for a while."""
        try:
            while True:
                frame = await asyncio.wait_for(self.ws.recv(decode=False), quiet_s)
                self.heard.take(self.market, frame)
        except TimeoutError:
            return

    async def inflict(self, kind, **wish):
        where = {"exchange": self.exchange.name, "market": self.market.channel}
        answer = await self.control("fault", json={"kind": kind, **where, **wish})
        return answer["touched"]

    async def control(self, what, **body):
        answer = await self.http.post(f"{self.root}/sim/{what}", **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def truth(self, what, symbol, **query):
        where = {"exchange": self.exchange.name, "market": self.market.channel, "symbol": symbol}
        answer = await self.http.get(f"{self.root}/sim/{what}", params=where | query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def root(self):
        return f"http://127.0.0.1:{self.simulator.port}"


@asynccontextmanager
async def listening(name, channel, **options):
    """A simulated market and a client that is connected to it."""
    wanted = {"symbols": 3, "trades_per_s": 300, "history_s": 2, **options}
    exchange = EXCHANGES[name]
    market = exchange.markets[channel]
    settings = SimulatorOptions(exchanges=(name,), markets=(channel,), **wanted)
    async with Simulator(settings) as simulator, httpx.AsyncClient(timeout=30) as http:
        url = simulator.url(channel, "ws", name) + market.subscriptions[0].path
        async with connect(url, max_size=1 << 24, compression=None) as ws:
            yield Client(simulator, exchange, market, http, ws)
