"""WebSockets that are open, by caller: ended when the caller's key or token is."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sinks.gateway.security.doorkeeper import Caller, Doorkeeper


@dataclass(slots=True, eq=False)
class Session:
    """One WebSocket; ``ended`` says why it has to go."""

    caller: Caller
    task: asyncio.Task[None]
    ended: str = ""


class Sessions:
    """``sweep`` now and then; those who may not stay are cancelled."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        self._open: set[Session] = set()

    @contextmanager
    def held(self, caller: Caller) -> Iterator[Session]:
        """Keep the session of the task that runs, inside the block."""
        task = asyncio.current_task()
        assert task is not None, "a session belongs to a task"  # noqa: S101
        session = Session(caller, task)
        self._open.add(session)
        try:
            yield session
        finally:
            self._open.discard(session)

    def sweep(self, now_s: float) -> None:
        """End what may not stay."""
        for session in tuple(self._open):
            reason = self._doorkeeper.ended(session.caller, now_s)
            if reason and not session.ended:
                session.ended = reason
                session.task.cancel()
