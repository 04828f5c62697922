"""The workers: each a child of its own that comes, goes, and is started again when it dies.

A worker reaches the broker through a proxy of its own, so that it can be cut off alone.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from fibstream.chaos.proxy import FaultProxy
from runtime.backoff import Backoff
from runtime.child import ChildFailed, ChildSpec
from runtime.errors import Misconfigured
from runtime.settings import Settings
from runtime.supervisor import Supervisor

WORKER = (sys.executable, "-m", "fibstream", "process")
READY_WITHIN_S = 120.0  # a broker may be away, and come back, meanwhile
# Where its broker is away a worker ends; on a machine with other things to do that takes minutes.
JOIN_WITHIN_S = 420.0
STRIKE_WITHIN_S = 20.0  # one that has left, or is being restarted, is waited for
POLL_S = 0.1


class Crew:
    """``async with Crew(...) as crew: await crew.join(name)``; whoever is left is stopped."""

    def __init__(
        self,
        settings: Settings,
        proxies: Mapping[str, FaultProxy],
        argv: Sequence[str] = WORKER,
    ) -> None:
        self.proxies = proxies
        self._settings = settings
        self._argv = argv
        self._present: dict[str, Supervisor] = {}
        self._starts = 0  # of those who have left

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave_all()

    async def join(self, name: str) -> None:
        """Start a worker and keep it running; return when it is ready."""
        deadline_s = asyncio.get_running_loop().time() + JOIN_WITHIN_S
        while name not in self._present:
            supervisor = self._present[name] = Supervisor(
                [self._spec(name)],
                data_dir=self._settings.data_dir,
                backoff=Backoff(first_s=0.2, max_s=2.0),
            )
            await supervisor.__aenter__()
            try:
                await supervisor.start()
            except (Misconfigured, ChildFailed):
                # Where its broker is away at its first start, a worker says so and ends.
                await self.leave(name)
                if asyncio.get_running_loop().time() > deadline_s:
                    raise

    async def leave(self, name: str) -> bool:
        """Ask a worker to end, and do not start it again; say whether it was there."""
        supervisor = self._present.pop(name, None)
        if supervisor is not None:
            await supervisor.stop()
            self._starts += supervisor.generation(name)
        return supervisor is not None

    async def leave_all(self) -> None:
        """Ask everybody to end."""
        for name in self._present:
            self.wake(name)
        await asyncio.gather(*(self.leave(name) for name in list(self._present)))

    async def strike(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a worker that runs, waiting for it a while; say whether it did."""
        deadline_s = asyncio.get_running_loop().time() + STRIKE_WITHIN_S
        while asyncio.get_running_loop().time() < deadline_s:
            try:
                os.kill(self._present[name].pid(name), number)
            except (KeyError, ProcessLookupError):
                await asyncio.sleep(POLL_S)
            else:
                return True
        return False

    def wake(self, name: str) -> None:
        """Let a frozen worker go on."""
        if name in self._present:
            self._present[name].kill(name, signal.SIGCONT)

    @property
    def present(self) -> set[str]:
        """Who is there, or is being started."""
        return set(self._present)

    @property
    def starts(self) -> int:
        """How often a worker has become ready, those who have left as well."""
        return self._starts + sum(s.generation(name) for name, s in self._present.items())

    def _spec(self, name: str) -> ChildSpec:
        own = {
            "kafka_bootstrap": f"127.0.0.1:{self.proxies[name].port}",
            "metrics_port": 0,
            "data_dir": self._settings.data_dir / name,
        }
        return ChildSpec(
            name=name,
            argv=self._argv,
            env=self._settings.model_copy(update=own).environment(),
            ready_timeout_s=READY_WITHIN_S,
            failures_max=1_000,  # it is killed on purpose, again and again
        )
