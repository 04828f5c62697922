"""A TCP proxy in front of the broker that delays, holds, loses or cuts what passes through it.

A held piece is delivered later, even when its sender has died meanwhile: so a worker's last words
may reach the broker after its partitions went to somebody else.
"""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter

from fibstream.chaos.schedule import Sick
from runtime.ports import free_port

HOST = "127.0.0.1"
CHUNK_BYTES = 64 << 10  # what one direction of a connection holds here; the rest waits in sockets


class FaultProxy:
    """One port in front of another; faults concern all of its connections."""

    def __init__(self) -> None:
        self.port = free_port()
        self.target_port = free_port()
        self._server: asyncio.Server | None = None
        self._links: set[StreamWriter] = set()
        self._fault: Sick | None = None
        self._delay_s = 0.0
        self._flows = asyncio.Event()
        self._flows.set()

    async def start(self) -> None:
        """Listen; nobody needs to answer at the target yet."""
        self._server = await asyncio.start_server(self._link, HOST, self.port, limit=CHUNK_BYTES)

    async def stop(self) -> None:
        """Break every connection, and listen no more."""
        self.heal()
        self._break()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def inflict(self, fault: Sick, *, delay_s: float = 0.0) -> None:
        """Begin a fault; the one before is over."""
        self.heal()
        self._fault, self._delay_s = fault, delay_s
        if fault == "hold":
            self._flows.clear()
        if fault == "cut":
            self._break()

    def heal(self) -> None:
        """Let everything pass as it should."""
        if self._fault == "half-open":
            self._break()  # bytes are missing in every connection
        self._fault, self._delay_s = None, 0.0
        self._flows.set()

    def _break(self) -> None:
        for writer in self._links:
            writer.transport.abort()

    async def _link(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._links.add(writer)
        try:
            if self._fault != "cut":
                await self._connect(reader, writer)
        except OSError:
            pass  # the broker is away: its client sees its own connection end
        finally:
            self._links.discard(writer)
            writer.transport.abort()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(
            HOST, self.target_port, limit=CHUNK_BYTES
        )
        self._links.add(broker_writer)
        try:
            await asyncio.gather(
                self._pump(reader, broker_writer), self._pump(broker_reader, writer)
            )
        finally:
            self._links.discard(broker_writer)
            broker_writer.transport.abort()

    async def _pump(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass on one direction until it ends, and end the other side then."""
        try:
            while piece := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if self._fault != "half-open":
                    writer.write(piece)
                    await writer.drain()
        finally:
            writer.close()  # what was written before is sent first
            with contextlib.suppress(OSError):
                await writer.wait_closed()
