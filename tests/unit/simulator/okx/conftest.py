"""A simulated OKX market without sockets or clock."""

import asyncio
import json

import pytest
from websockets.protocol import CLIENT, Protocol, State

from simulator.dialect import Asked
from simulator.exchange import Exchange
from simulator.hub import Connection
from simulator.options import SimulatorOptions
from simulator.session import Wire
from simulator.venues import VENUES

OPENED_MS = 4_000_000_000_000  # later than any clock: subscriptions read the real one


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return False


class Client:
    """One connection to a market, and what it was told."""

    def __init__(self, exchange, path):
        self._transport = Transport()
        self._protocol = Protocol(CLIENT, state=State.OPEN, max_size=None)
        self._talk = exchange.dialect.open(path, {})(Wire(exchange, Connection(self._transport)))

    def say(self, text, now_s=0.0):
        self._talk.hear(text, now_s)
        return self.told()

    def ask(self, op, *args, now_s=0.0):
        channels = [{"channel": c, ("instType" if n == "SWAP" else "instId"): n} for c, n in args]
        return self.say(json.dumps({"id": "7", "op": op, "args": channels}), now_s)

    def told(self):
        self._protocol.receive_data(self._transport.written)
        self._transport.written = b""
        frames = [event.data for event in self._protocol.events_received()]
        return [f if f == b"pong" else json.loads(f) for f in frames]


class Market:
    """A channel of OKX; time passes only in ``run``."""

    def __init__(self, channel, **options):
        chosen = SimulatorOptions(symbols=3, **{"liquidations_per_s": 20.0, **options})
        dialect = VENUES["okx"].channels[channel](chosen)
        self.exchange = Exchange(dialect, chosen, trades_per_s=2_000.0, rows_max=100_000)
        self.at_ms = 0

    def client(self, path="/ws/v5/public"):
        return Client(self.exchange, path)

    def run(self, ms):
        for _ in range(0, ms, 10):
            now_ms = OPENED_MS + self.at_ms + 10
            self.exchange.trade(self.at_ms, self.at_ms + 10, OPENED_MS, now_ms)
            self.exchange.delivery.deliver(now_ms, 1)
            self.at_ms += 10

    def get(self, path, **query):
        now_ms = OPENED_MS + self.at_ms
        asked = Asked(method="GET", path="/api/v5/" + path, query=query, body=b"", now_ms=now_ms)
        return asyncio.run(self.exchange.dialect.rest(asked, self.exchange))


@pytest.fixture
def spot():
    return Market("spot")


@pytest.fixture
def linear():
    return Market("linear")
