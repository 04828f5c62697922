"""The broker of a chaos run is never harmed again before its workers could come back."""

import asyncio
from pathlib import Path

from fibstream.chaos.arena import Broker


class Slow(Broker):
    """A broker that only takes its time."""

    def __init__(self, start_s: float) -> None:
        super().__init__(Path(), [], heap_mb=0)
        self.start_s = start_s
        self.told: list[tuple[str, float]] = []

    async def start(self) -> None:
        await asyncio.sleep(self.start_s)
        self.told.append(("answers", asyncio.get_running_loop().time()))

    async def stop(self) -> None:
        self.told.append(("stops", asyncio.get_running_loop().time()))


async def test_a_broker_that_comes_back_slowly_is_left_alone_as_long_as_it_was_away() -> None:
    broker = Slow(0.03)
    await asyncio.gather(*(broker.away(0.01, by_kill=False) for _ in range(2)))
    (what, gone_s), (_, back_s), (again, gone_again_s), *_ = broker.told
    assert (what, again) == ("stops", "stops")
    assert gone_again_s - back_s >= back_s - gone_s - 0.001
