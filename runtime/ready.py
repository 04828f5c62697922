"""How a child process tells its supervisor that it is ready, or why it never will be.

The supervisor hands over the write end of a pipe as ``FIBSTREAM_READY_FD``. Without that variable
both calls do nothing, so a process behaves the same when it is started by hand.
"""

import contextlib
import json
import os

from runtime.errors import Misconfigured

READY_FD = "FIBSTREAM_READY_FD"
REFUSED = "misconfigured"


def announce(**facts: object) -> None:
    """Say once that this process is ready, with ``facts`` that others need (ports, addresses)."""
    fd = os.environ.pop(READY_FD, None)  # popped: a grandchild must not answer for us
    if fd is None:
        return
    # Broken pipe: the supervisor is gone, and this process will be stopped for that reason.
    with contextlib.suppress(BrokenPipeError), os.fdopen(int(fd), "w") as pipe:
        pipe.write(json.dumps(facts, default=str) + "\n")


def refuse(error: Misconfigured) -> None:
    """Hand the operator's error to the supervisor, in place of ``announce``."""
    announce(**{REFUSED: [error.setting, error.problem, error.remedy]})
