"""``python -m fibstream.bench.venue``: Binance's trade frames at a steady rate, and nothing else.

The simulator makes a market, which costs more than a core at 20,000 trades/s; this only counts ids.
Each frame carries the time of its sending, in us since 1970, as the trade ids of its aggregate.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from itertools import accumulate

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from runtime.ready import announce
from runtime.shutdown import run

STEP_S = 0.001
FIRST_ID = 3_000_000_000
TEXT_FRAME = b"\x81"
DRAWN = 50_000  # symbols, drawn beforehand
LAG_S_MAX = 0.25
BACKLOG_BYTES_MAX = 256 << 20  # of a client that does not read; beyond it trades are lost


def symbols(count: int) -> list[str]:
    """Return names of one length, so that the fields of a frame stand where they always do."""
    return [f"S{i:03}USDT" for i in range(count)]


def frame(symbol: str, id_: int, sent_us: int, qty: int) -> bytes:
    """Return one aggregate, in the words of USD-M futures."""
    at_ms = sent_us // 1_000
    return (
        f'{{"stream":"{symbol.lower()}@aggTrade","data":{{"e":"aggTrade","E":{at_ms},'
        f'"s":"{symbol}","a":{id_},"f":{sent_us},"l":{sent_us},"p":"{1_000 + id_ % 97}.10",'
        f'"q":"0.{qty:03}","nq":"0.{qty:03}","T":{at_ms},"m":{"true" if id_ & 1 else "false"}}}}}'
    ).encode()


class Venue:
    """Sends each trade to whoever subscribed to its symbol last."""

    def __init__(self, count: int, trades_per_s: float) -> None:
        self._names = symbols(count)
        self._ids = [FIRST_ID] * count
        self._listeners: list[ServerConnection | None] = [None] * count
        self._trades_per_s = trades_per_s
        # Zipf with exponent 0.9, as in the processor's benchmark.
        weights = list(accumulate(1 / (rank + 3) ** 0.9 for rank in range(count)))
        self._drawn = random.Random(1).choices(range(count), cum_weights=weights, k=DRAWN)  # noqa: S311
        self._sent = 0

    async def talk(self, client: ServerConnection) -> None:
        """Acknowledge subscriptions until the client goes."""
        try:
            async for message in client:
                request = json.loads(message)
                for stream in request["params"]:
                    at = int(stream[1:4])
                    self._listeners[at] = client if request["method"] == "SUBSCRIBE" else None
                await client.send(json.dumps({"result": None, "id": request["id"]}))
        except ConnectionClosed:
            pass
        finally:
            self._listeners = [None if each is client else each for each in self._listeners]

    async def trade(self) -> None:
        """Send for ever; a stretch that was slept over is made up for, or left out if long."""
        began_s = time.perf_counter()
        while True:
            now_s = time.perf_counter()
            due = int((now_s - began_s) * self._trades_per_s)
            if due - self._sent > self._trades_per_s * LAG_S_MAX:
                self._sent = due
            self._send(due - self._sent)
            await asyncio.sleep(max(0.0, STEP_S - (time.perf_counter() - now_s)))

    def _send(self, count: int) -> None:
        sent_us = time.time_ns() // 1_000
        parts: dict[ServerConnection, list[bytes]] = {}
        for n in range(self._sent, self._sent + count):
            at = self._drawn[n % DRAWN]
            client = self._listeners[at]
            if client is None:
                continue
            self._ids[at] = id_ = self._ids[at] + 1
            told = frame(self._names[at], id_, sent_us, 1 + n % 999)
            head = TEXT_FRAME + b"\x7e" + len(told).to_bytes(2, "big")  # 126: its length follows
            parts.setdefault(client, []).append(head + told)
        for client, frames in parts.items():
            backlog_bytes = client.transport.get_write_buffer_size()
            if client.state is State.OPEN and backlog_bytes < BACKLOG_BYTES_MAX:
                client.transport.write(b"".join(frames))
        self._sent += count


async def _serve(venue: Venue, stop: asyncio.Event) -> None:
    async with serve(venue.talk, "127.0.0.1", 0, compression=None) as server:
        announce(port=server.sockets[0].getsockname()[1])
        trading = asyncio.create_task(venue.trade())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({trading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if trading.done():
            trading.result()  # it ends only by a bug
        trading.cancel()


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m fibstream.bench.venue", description=__doc__)
    parser.add_argument("--symbols", type=int, default=700)
    parser.add_argument("--rate", type=float, default=20_000.0)
    options = parser.parse_args()
    return run(lambda stop: _serve(Venue(options.symbols, options.rate), stop))


if __name__ == "__main__":
    sys.exit(main())
