"""Keep one embedded server in the foreground: as a supervised child, or from a terminal."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from runtime.errors import PipelineError
from runtime.ready import announce
from runtime.shutdown import run


class EmbeddedServer(Protocol):
    """What the servers of this package have in common."""

    async def start(self) -> str:
        """Start the server and return its address, once it answers."""

    async def stop(self) -> None:
        """Stop the server cleanly; it is killed if it takes too long."""

    async def died(self) -> PipelineError:
        """Wait until the server ends by itself, and return why."""


def keep(server: EmbeddedServer, facts: Callable[[str], dict[str, object]]) -> int:
    """Run ``server`` until this process is told to stop; return the exit code."""

    async def main(stop: asyncio.Event) -> None:
        starting = asyncio.ensure_future(_until_it_ends(server, facts))
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                raise await starting
        finally:
            starting.cancel()
            stopped.cancel()
            await server.stop()

    return run(main)


async def _until_it_ends(
    server: EmbeddedServer, facts: Callable[[str], dict[str, object]]
) -> PipelineError:
    announce(**facts(await server.start()))
    return await server.died()
