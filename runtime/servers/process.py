"""One foreign server process: tethered, its output in a log file, waited for, stopped."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from runtime import logfile
from runtime.errors import PipelineError
from runtime.tether import tethered

logger = structlog.get_logger(__name__)

PROBE_INTERVAL_S = 0.05


class ServerDied(PipelineError):  # noqa: N818 - reads as what happened
    """An embedded server ended, or never answered; the message quotes its log."""


class ServerProcess:
    """A running server. ``log`` is the file that it writes and that errors quote."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self._name = name
        self._process = process
        self._log = log
        self._log_start = 0

    @classmethod
    async def start(cls, name: str, argv: Sequence[str], log: Path) -> "ServerProcess":
        """Start the server with its output appended to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        logfile.bound(log)
        log_start = logfile.size(log)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tethered(argv), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        server = cls(name, process, log)
        server._log_start = log_start
        return server

    async def answers(self, probe: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
        """Return when ``probe`` says yes; raise ServerDied when the server ends or is too slow."""
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(within_s):
                while not await probe():
                    done, _ = await asyncio.wait({ended}, timeout=PROBE_INTERVAL_S)
                    if done:
                        raise self._died(f"ended at its start with code {ended.result()}")
        except TimeoutError as e:
            await self.stop(0.0)
            raise self._died(f"did not answer within {within_s:g} s") from e
        finally:
            ended.cancel()

    async def completes(self, *, within_s: float) -> None:
        """Wait for a process that does its work and ends; raise ServerDied when it fails."""
        try:
            code = await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError as e:
            await self.stop(0.0)
            raise self._died(f"did not end within {within_s:g} s") from e
        if code:
            raise self._died(f"ended with code {code}")

    async def died(self) -> ServerDied:
        """Wait until the server ends, and return the error that says so."""
        code = await self._process.wait()
        return self._died(f"ended with code {code}")

    async def stop(self, timeout_s: float) -> None:
        """Ask the server to end; after ``timeout_s`` end it."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            logger.warning("server_killed", server=self._name, after_s=timeout_s)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _died(self, problem: str) -> ServerDied:
        quoted = logfile.quoted(self._log, since=self._log_start)
        return ServerDied(f"{self._name} {problem}\n{quoted}")
