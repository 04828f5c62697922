"""What the clients of ``fibstream bench gateway`` want, and candles for them; all from a seed."""

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from runtime.kafka import partition_for
from schemas.topics import symbol_key

EXCHANGE, CHANNEL = "binance", "linear"
INTERVALS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}
WILDCARD_EVERY = 100  # one client of so many wants every symbol, in one interval
STAMP = b'"first_id":'
"""In a row, before the time in us at which its record was given to the producer."""
SUBSCRIPTIONS = 20  # of a client
CORES = (0, 1)
"""Of what is measured, and of everything else."""

Want = tuple[str, str]
"""Symbol and interval."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many clients, and what they are sent."""

    clients: int
    symbols: int = 200
    delivered_per_s: float
    seconds: float
    partitions: int = 4


class Made(NamedTuple):
    """A record, where it goes, and how many rows it holds for all clients together."""

    partition: int
    value: bytes
    rows: int


def wants(load: Load, client: int) -> list[Want]:
    """Return what a client subscribes to: few symbols in all intervals, many in some, or all."""
    rng = random.Random(client)  # noqa: S311 - seeded, not secret
    names = symbols(load)
    if client % WILDCARD_EVERY == WILDCARD_EVERY - 1:
        return [("*", rng.choice(list(INTERVALS)))]
    if client % 2:
        few = rng.sample(names, SUBSCRIPTIONS // len(INTERVALS))
        return [(name, interval) for name in few for interval in INTERVALS]
    every = [(name, interval) for name in names for interval in INTERVALS]
    return rng.sample(every, SUBSCRIPTIONS)


def symbols(load: Load) -> list[str]:
    """Return the names of all symbols."""
    return [f"S{number:03}USDT" for number in range(load.symbols)]


def subscribers(load: Load) -> dict[Want, list[int]]:
    """Return the clients that want each series."""
    found: dict[Want, list[int]] = {
        (name, interval): [] for name in symbols(load) for interval in INTERVALS
    }
    for client in range(load.clients):
        for name, interval in wants(load, client):
            for each in symbols(load) if name == "*" else [name]:
                found[each, interval].append(client)
    return found


class Tape:
    """Makes records: each symbol's open candles in turn, or its closed ones."""

    def __init__(self, load: Load) -> None:
        self._names = symbols(load)
        wanted = subscribers(load)
        self.rows_of = {
            name: sum(len(wanted[name, each]) for each in INTERVALS) for name in self._names
        }
        """How many rows a record of a symbol is, for all clients together."""
        self._partitions = {
            name: partition_for(symbol_key(EXCHANGE, CHANNEL, name), load.partitions)
            for name in self._names
        }
        self.rev = 0
        self._minute = 28_000_000

    def next(self, now_us: int, *, closed: bool = False) -> Made:
        """Return the next symbol's record."""
        name = self._names[self.rev % len(self._names)]
        self.rev += 1
        if closed and name == self._names[0]:
            self._minute += 60
        rows = self.rows(name, now_us, closed=closed)
        value = (
            f'{{"exchange":"{EXCHANGE}","channel":"{CHANNEL}","data_type":"klines",'
            f'"recv_ms":{now_us // 1_000},"data":[{",".join(rows)}]}}'
        )
        return Made(self._partitions[name], value.encode(), self.rows_of[name])

    def rows(self, name: str, now_us: int, *, closed: bool) -> Sequence[str]:
        """Return a candle in every interval."""
        rev, minute = self.rev, self._minute
        state = "true" if closed else "false"
        return [
            f'{{"symbol":"{name}","interval":{length_ms},"timestamp":{minute * length_ms},'
            f'"open":281.10,"high":285.00,"low":280.50,"close":{280 + rev % 5}.90,'
            f'"volume":{rev % 1_000}.314,"quote_volume":{rev % 9_000}.3,"taker_buy_volume":51.2,'
            f'"taker_buy_quote_volume":144.655,"trade_count":{rev},"first_id":{now_us},'
            f'"last_id":{rev},"closed":{state},"rev":{rev},"cause":"live","quality":"proven",'
            f'"missing":0}}'
            for length_ms in INTERVALS.values()
        ]


def module(name: str) -> list[str]:
    """Return the command that runs a program of this benchmark."""
    return [sys.executable, "-m", f"fibstream.bench.{name}"]


def pin(core: int) -> None:
    """Keep this process, and those it starts from now on, on one core."""
    os.sched_setaffinity(0, {core})
