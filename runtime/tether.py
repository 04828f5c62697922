"""Run a program that cannot outlive its parent, whatever kills the parent.

``tethered(argv)`` is an argv that ties itself to its parent and then becomes the program, under
the same process id. Linux does the rest in the kernel; elsewhere a small watcher process does.
The kernel's parent is a *thread*: start tethered programs from a thread that lives on.

This file also runs as a script without site-packages: it may import the standard library only.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # prctl(2)
WATCH_INTERVAL_S = 0.25
FDS_MAX = 1_024  # a watcher must not hold its owner's pipes open


def tethered(argv: Sequence[str]) -> list[str]:
    """Return the argv that runs ``argv`` and dies, by SIGKILL, with the calling process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def tie(parent_pid: int) -> None:
    """Tie this process to its parent; at once when the parent is already gone."""
    if not (sys.platform == "linux" and _tied_by_kernel()):
        watch(parent_pid)
    if os.getppid() != parent_pid:
        os._exit(1)


def _tied_by_kernel() -> bool:
    zero = ctypes.c_ulong(0)
    signal_number = ctypes.c_ulong(signal.SIGKILL)
    prctl = ctypes.CDLL(None).prctl
    return bool(prctl(PR_SET_PDEATHSIG, signal_number, zero, zero, zero) == 0)


def watch(parent_pid: int) -> None:
    """Leave behind a process that kills this one when ``parent_pid`` is gone."""
    target_pid = os.getpid()
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    if os.fork():  # the watcher belongs to init: the program never meets a child it did not start
        os._exit(0)
    os.closerange(0, FDS_MAX)
    os.setsid()  # the supervisor kills the program's group, and counts it as ended by that
    while alive(target_pid):
        if not alive(parent_pid):
            os.kill(target_pid, signal.SIGKILL)
            break
        time.sleep(WATCH_INTERVAL_S)
    os._exit(0)


def alive(pid: int) -> bool:
    """Say whether a process of this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    tie(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted
    except OSError as e:
        sys.stderr.write(f"{sys.argv[2]}: {e.strerror}\n")
        sys.exit(127)
