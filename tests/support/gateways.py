"""A real gateway inside the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from runtime.settings import Settings
from sinks.gateway import app


@asynccontextmanager
async def running(settings: Settings, within_s: float = 60.0) -> AsyncIterator[None]:
    """Run a gateway inside the block, from when it is ready."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.run(settings, stop))
    url = f"http://127.0.0.1:{settings.websocket_port}/health/ready"
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(within_s):
            while not task.done():
                try:
                    if (await http.get(url)).status_code == 200:
                        break
                except (httpx.ConnectError, httpx.ReadTimeout):
                    pass
                await asyncio.sleep(0.05)
        yield
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task
