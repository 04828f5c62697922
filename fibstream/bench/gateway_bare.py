"""The rival of ``fibstream bench gateway``: ``websockets.broadcast``, and nothing around it.

``python -m fibstream.bench.gateway_bare LOAD``. It says its port, and for each line that it is
told broadcasts for a while; every row is a message of its own, made once.
"""

import asyncio
import json
import sys
import time

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from fibstream.bench.gateway_load import INTERVALS, Load, Tape, subscribers, symbols

TURN_S = 0.005


async def run(load: Load) -> None:
    """Serve, and broadcast whenever told to."""
    loop = asyncio.get_running_loop()
    connected: dict[int, ServerConnection] = {}

    async def handler(connection: ServerConnection) -> None:
        if connection.request is not None:
            connected[int(connection.request.path.strip("/"))] = connection
            await connection.wait_closed()

    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        _say({"port": next(iter(server.sockets)).getsockname()[1]})
        while await asked.readline():
            await _broadcast(load, connected)


async def _broadcast(load: Load, connected: dict[int, ServerConnection]) -> None:
    wanted = {
        want: {connected[client] for client in clients}
        for want, clients in subscribers(load).items()
    }
    tape = Tape(load)
    names = symbols(load)
    began_s, used_s, sent, at = time.monotonic(), time.process_time(), 0, 0
    while (passed_s := time.monotonic() - began_s) < load.seconds:
        due = load.delivered_per_s * passed_s
        now_us = time.time_ns() // 1_000
        while sent < due:
            name = names[at % len(names)]
            at += 1
            for interval, row in zip(INTERVALS, tape.rows(name, now_us, closed=False), strict=True):
                broadcast(wanted[name, interval], row)
                sent += len(wanted[name, interval])
            if time.monotonic() - began_s > passed_s + TURN_S:
                break
        await asyncio.sleep(TURN_S if sent >= due else 0)
    _say({
        "rows": sent,
        "cpu_s": time.process_time() - used_s,
        "seconds": time.monotonic() - began_s,
    })  # fmt: skip


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(run(Load(**json.loads(sys.argv[1]))))
