"""One child process: what to run, and one run of it.

A child speaks through ``runtime.ready``; its stdout and stderr go to a log file. It is tethered
and has a process group of its own: Ctrl-C in a terminal reaches only the supervisor.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog

from runtime import logfile
from runtime.errors import Misconfigured, PipelineError
from runtime.ready import READY_FD, REFUSED
from runtime.shutdown import EXIT_MISCONFIGURED
from runtime.tether import tethered

logger = structlog.get_logger(__name__)

Facts = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """A child to be kept running. ``argv`` and ``env`` may be functions of the facts so far.

    After a restart the facts still hold what the child itself said before, so that it can ask for
    the same port again.
    """

    name: str
    argv: Sequence[str] | Callable[[Facts], Sequence[str]]
    env: Mapping[str, str] | Callable[[Facts], Mapping[str, str]] = field(default_factory=dict)
    after: tuple[str, ...] | None = None  # None: every child before it in the list
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0
    failures_max: int = 5  # in a row, each within 30 s of its start


class ChildFailed(PipelineError):  # noqa: N818 - reads as what happened
    """A child that cannot be kept running; ``exit_code`` is for its supervisor's own end."""

    def __init__(self, name: str, problem: str, *, log: str, exit_code: int = 1) -> None:
        super().__init__(f"{name} {problem}\n{log}")
        self.name = name
        self.problem = problem
        self.exit_code = exit_code


class NotReady(ChildFailed):
    """A child that runs but did not say in time that it is ready."""


class Child:
    """One run of a spec, from its start to its end."""

    def __init__(
        self,
        spec: ChildSpec,
        process: asyncio.subprocess.Process,
        ready_fd: int,
        log: Path,
        log_start: int,
    ) -> None:
        self.spec = spec
        self.pid = process.pid
        self._process = process
        self._ready_fd = ready_fd
        self._log = log
        self._log_start = log_start

    @classmethod
    async def start(cls, spec: ChildSpec, facts: Facts, log: Path) -> Self:
        """Start the process; its log file goes on where the last run ended."""
        argv = spec.argv(facts) if callable(spec.argv) else spec.argv
        env = spec.env(facts) if callable(spec.env) else spec.env
        logfile.bound(log)
        log_start = logfile.size(log)
        read_fd, write_fd = os.pipe()
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *tethered(argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **env, READY_FD: str(write_fd)},
                    pass_fds=(write_fd,),
                    start_new_session=True,
                )
        finally:
            os.close(write_fd)
        return cls(spec, process, read_fd, log, log_start)

    async def ready(self) -> dict[str, Any]:
        """Return the facts the child announces; raise what keeps it from being ready."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._ready_fd, "rb")
        )
        try:
            line = await asyncio.wait_for(reader.readline(), self.spec.ready_timeout_s)
        except TimeoutError as e:
            problem = f"was not ready within {self.spec.ready_timeout_s:g} s"
            raise NotReady(self.spec.name, problem, log=self._quoted_log()) from e
        finally:
            transport.close()
        if not line:
            raise await self.ended()
        facts: dict[str, Any] = json.loads(line)
        if REFUSED in facts:
            setting, problem, remedy = facts[REFUSED]
            raise Misconfigured(setting, problem, remedy=remedy)
        return facts

    async def ended(self) -> ChildFailed:
        """Wait for the process's end, end what it left behind, and say how it went."""
        code = await self._process.wait()
        self._kill_group()
        if code == EXIT_MISCONFIGURED:
            how = "refuses its configuration (exit code 2)"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended with code {code}"
            code = 1
        return ChildFailed(self.spec.name, how, log=self._quoted_log(), exit_code=max(code, 1))

    async def stop(self, timeout_s: float) -> None:
        """Ask the process to end; after ``timeout_s`` end it."""
        if self._process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            logger.warning("child_killed", child=self.spec.name, after_s=round(timeout_s, 1))
            self.signal(signal.SIGKILL)
            await self._process.wait()
        self._kill_group()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _quoted_log(self) -> str:
        return logfile.quoted(self._log, since=self._log_start)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
