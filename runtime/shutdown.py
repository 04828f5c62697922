"""Run a process's main coroutine, and end it cleanly when it is told to.

SIGTERM, SIGINT and SIGHUP set the stop event; a second Ctrl-C ends the process at once. A main
that does not return in time is cancelled, and a process that hangs even then ends itself.
"""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable

import structlog
import uvloop

from runtime.errors import Misconfigured, PipelineError
from runtime.ready import refuse

logger = structlog.get_logger(__name__)

CANCEL_AFTER_S = 15.0  # the main has had its chance: cancel it, `finally` blocks still run
END_AFTER_S = 19.0  # under the 20 s that supervisors and containers grant
EXIT_MISCONFIGURED = 2
EXIT_INTERRUPTED = 130
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run ``main(stop)`` to its end under uvloop; return the exit code.

    0: returned, 1: an expected error that nobody handled, 2: bad configuration (the message is on
    stderr, and handed to the supervisor). A bug is raised.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_stopped(main))
    except PipelineError as e:
        return exit_code(e)
    return 0


def exit_code(error: PipelineError) -> int:
    """Print the error for the operator and return the exit code it stands for."""
    print(error, file=sys.stderr, flush=True)  # noqa: T201 - the operator reads it
    if isinstance(error, Misconfigured):
        refuse(error)
        return EXIT_MISCONFIGURED
    return int(getattr(error, "exit_code", 1))  # a supervisor passes on its child's code


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    task = asyncio.ensure_future(main(stop))
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's SIGHUP stays ignored
            loop.add_signal_handler(number, _on_signal, number, stop, task)
    try:
        await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        logger.warning("stop_overdue", after_s=CANCEL_AFTER_S)


def _on_signal(number: signal.Signals, stop: asyncio.Event, task: asyncio.Future[None]) -> None:
    if stop.is_set():
        if number == signal.SIGINT:
            os._exit(EXIT_INTERRUPTED)  # children are tethered: they end with this process
        return
    logger.info("stop_requested", signal=number.name)
    stop.set()
    asyncio.get_running_loop().call_later(CANCEL_AFTER_S, task.cancel)
    # A thread, because what hangs may be the loop itself.
    last_resort = threading.Timer(END_AFTER_S, _end)
    last_resort.daemon = True
    last_resort.start()


def _end() -> None:
    faulthandler.dump_traceback()
    os._exit(1)
