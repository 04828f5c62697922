"""The folder of a worker: who died there is known, who lives there is left alone."""

import os
import signal
import subprocess
import sys

from processors.departure import Residence

LIVE_HERE = """
import sys, time
from pathlib import Path
from processors.departure import Residence
home = Residence(Path(sys.argv[1]))
home.move_in("member-1")
print("in", flush=True)
time.sleep(60)
"""


def test_who_was_killed_is_known_to_the_next_and_who_lives_is_not_disturbed(tmp_path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LIVE_HERE, str(tmp_path)], stdout=subprocess.PIPE
    ) as first:
        first.stdout.readline()
        guest = Residence(tmp_path)
        assert guest.predecessor() == ""  # it lives
        guest.move_in("guest")
        guest.move_out()
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    guest._lock.close()
    assert Residence(tmp_path).predecessor() == "member-1"


def test_who_left_in_order_has_nobody_to_leave_for_it(tmp_path) -> None:
    home = Residence(tmp_path)
    home.move_in("member-1")
    home.move_out()
    home._lock.close()
    assert Residence(tmp_path).predecessor() == ""
