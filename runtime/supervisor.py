"""Keep a list of child processes running: started in order, restarted, stopped in reverse order.

A child that refuses its configuration stops everything: restarting cannot help, the operator can.
One that was ready before is restarted: what it misses was there once, and may come back.
Children die with the supervisor, even when it is killed (``runtime.tether``).
"""

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from runtime import logfile
from runtime.backoff import Backoff
from runtime.child import Child, ChildFailed, ChildSpec, Facts, NotReady
from runtime.errors import Misconfigured
from runtime.metrics import child_restarts
from runtime.shutdown import EXIT_MISCONFIGURED

logger = structlog.get_logger(__name__)

HEALTHY_AFTER_S = 30.0  # a child that lived this long is forgiven its earlier failures
STOP_WITHIN_S = 18.0  # all children together
STOP_RESERVE_S = 0.75  # of it, kept for each child that is still to be stopped
LOG_CHECK_INTERVAL_S = 10.0


def _check(specs: Sequence[ChildSpec]) -> None:
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen:
            raise ValueError(f"{spec.name} is listed twice")
        if spec.after and not seen.issuperset(spec.after):
            raise ValueError(f"{spec.name} waits for {spec.after}, which do not come before it")
        seen.add(spec.name)


class _Post:
    """The place of one child: its spec and the run that holds it now."""

    def __init__(self, spec: ChildSpec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.child: Child | None = None
        self.generation = 0  # how many times it became ready


class Supervisor:
    """``async with Supervisor(specs, data_dir=...) as s: await s.start(); await s.wait(stop)``."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        data_dir: Path,
        passthrough: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        _check(specs)
        self.facts: Facts = {}
        self._logs = data_dir / "logs"
        self._posts = {spec.name: _Post(spec, self._logs / f"{spec.name}.log") for spec in specs}
        self._passthrough = passthrough
        self._backoff = backoff or Backoff()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Condition()
        self._failure: BaseException | None = None
        self._tenders: list[asyncio.Task[None]] = []
        self._log_tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, stop: asyncio.Event | None = None) -> None:
        """Start every child and return when all are ready, or when ``stop`` is set."""
        names = list(self._posts)
        for index, name in enumerate(names):
            post = self._posts[name]
            after = names[:index] if post.spec.after is None else list(post.spec.after)
            self._tenders.append(asyncio.create_task(self._tend(post, after), name=name))
            if self._passthrough:
                self._log_tasks.append(asyncio.create_task(logfile.follow(post.log, sys.stderr)))
        self._log_tasks.append(asyncio.create_task(self._bound_logs()))
        await self._until(lambda: all(p.generation for p in self._posts.values()), stop)

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when ``stop`` is set; raise when a child cannot be kept running."""
        await self._until(lambda: False, stop)

    async def ready(self, name: str, generation: int = 1) -> None:
        """Return when the child has become ready for the ``generation``-th time."""
        await self._until(lambda: self._posts[name].generation >= generation)

    def generation(self, name: str) -> int:
        """Return how many times the child has become ready."""
        return self._posts[name].generation

    def pid(self, name: str) -> int:
        """Return the process id of the child's present run."""
        child = self._posts[name].child
        if child is None:
            raise ProcessLookupError(f"{name} has not been started")
        return child.pid

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a child, which is then restarted like any other that ends."""
        child = self._posts[name].child
        if child is not None:
            child.signal(number)

    async def stop(self) -> None:
        """Stop all children in reverse order; nothing is left after 20 s."""
        self._stopping.set()
        await self._notify()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + STOP_WITHIN_S
        posts = list(self._posts.values())
        while posts:
            post = posts.pop()
            left_s = deadline_s - loop.time() - STOP_RESERVE_S * len(posts)
            if post.child is not None:
                await post.child.stop(max(0.0, min(post.spec.stop_timeout_s, left_s)))
        for task in self._log_tasks:
            task.cancel()
        await asyncio.gather(*self._tenders, *self._log_tasks, return_exceptions=True)

    async def _tend(self, post: _Post, after: Sequence[str]) -> None:
        try:
            await self._until(lambda: all(self._posts[name].generation for name in after))
            await self._keep_running(post)
        except BaseException as e:
            self._failure = self._failure or e
            raise
        finally:
            await self._notify()

    async def _keep_running(self, post: _Post) -> None:
        spec = post.spec
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._stopping.is_set():
            started_s = loop.time()
            failure = await self._run_once(post)
            if self._stopping.is_set():
                return
            if failure.exit_code == EXIT_MISCONFIGURED and not post.generation:
                raise failure
            failures = 1 if loop.time() - started_s >= HEALTHY_AFTER_S else failures + 1
            if failures >= spec.failures_max:
                logger.error("child_given_up", child=spec.name, failures=failures)
                raise failure
            delay_s = self._backoff.delay_s(failures, random.random())  # noqa: S311 - spread only
            logger.warning(
                "child_ended", child=spec.name, problem=failure.problem, retry_after_s=delay_s
            )
            child_restarts.labels(spec.name).inc()
            await self._pause(delay_s)

    async def _run_once(self, post: _Post) -> ChildFailed:
        child = await Child.start(post.spec, self.facts, post.log)
        post.child = child
        if self._stopping.is_set():  # stop() came while the process was being made
            await child.stop(0.0)
        try:
            self.facts[post.spec.name] = await child.ready()
        except ChildFailed as e:
            await child.stop(0.0)
            if isinstance(e, NotReady) and post.generation == 0:
                raise  # somebody has already waited for all of it once
            return e
        except Misconfigured:
            if post.generation == 0:
                raise
            return await child.ended()
        post.generation += 1
        logger.info("child_ready", child=post.spec.name, pid=child.pid, generation=post.generation)
        await self._notify()
        return await child.ended()

    async def _pause(self, delay_s: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), delay_s)
        except TimeoutError:
            return

    async def _until(self, done: Callable[[], bool], stop: asyncio.Event | None = None) -> None:
        stopper = asyncio.create_task(self._notify_when(stop)) if stop else None
        try:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._failure is not None
                        or self._stopping.is_set()
                        or (stop is not None and stop.is_set())
                        or done()
                    )
                )
        finally:
            if stopper:
                stopper.cancel()
        if self._failure is not None and not self._stopping.is_set():
            raise self._failure

    async def _notify_when(self, event: asyncio.Event) -> None:
        await event.wait()
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_INTERVAL_S)
            for post in self._posts.values():
                logfile.bound(post.log)
