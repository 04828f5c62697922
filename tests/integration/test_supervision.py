import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from runtime import logfile, supervisor
from runtime.backoff import Backoff
from runtime.child import ChildFailed, ChildSpec
from runtime.errors import Misconfigured
from runtime.supervisor import Supervisor

pytestmark = pytest.mark.integration

QUICK = Backoff(first_s=0.02, max_s=0.05)


def python(script: str, *arguments: str) -> list[str]:
    preamble = "import os, signal, sys, time\nfrom runtime.ready import announce, refuse\n"
    return [sys.executable, "-c", preamble + textwrap.dedent(script), *arguments]


SERVES = "announce(pid=os.getpid()); time.sleep(600)"


def started(script: str, *arguments: str) -> tuple[subprocess.Popen[bytes], dict]:
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        python(script, *arguments),
        env={**os.environ, "FIBSTREAM_READY_FD": str(write_fd)},
        pass_fds=(write_fd,),
    )
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        return process, json.loads(pipe.readline())


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def gone_within(pids: list[int], seconds: float) -> bool:
    for _ in range(int(seconds / 0.05)):
        if all(is_gone(pid) for pid in pids):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_facts_of_a_child_reach_the_next_one_and_all_stop_in_reverse_order(tmp_path):
    ends = tmp_path / "ends"
    leaves = f"""
        def leave(*_):
            with open({str(ends)!r}, "a") as file:
                file.write(sys.argv[1])
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        announce(port=int(sys.argv[2]), extra=os.environ.get("EXTRA"))
        time.sleep(600)
    """
    specs = [
        ChildSpec(name="a", argv=python(leaves, "a", "7")),
        ChildSpec(
            name="b",
            argv=lambda facts: python(leaves, "b", str(facts["a"]["port"] + 1)),
            env=lambda facts: {"EXTRA": f"from {facts['a']['port']}"},
        ),
    ]
    async with Supervisor(specs, data_dir=tmp_path) as children:
        await children.start()
        assert children.facts["b"] == {"port": 8, "extra": "from 7"}
        pids = [children.pid("a"), children.pid("b")]
    assert ends.read_text() == "ba"
    assert all(is_gone(pid) for pid in pids)


async def test_children_that_do_not_wait_for_each_other_start_together(tmp_path):
    # Each is ready only when the other has started: one after the other would never end.
    meets = """
        open(sys.argv[1], "w").close()
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
        announce()
        time.sleep(600)
    """
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    specs = [
        ChildSpec(name="one", argv=python(meets, one, two), after=()),
        ChildSpec(name="two", argv=python(meets, two, one), after=()),
    ]
    async with Supervisor(specs, data_dir=tmp_path) as children:
        await asyncio.wait_for(children.start(), 20)


async def test_a_killed_child_comes_back_and_remembers_what_it_said(tmp_path):
    script = "announce(port=int(sys.argv[1]) or 4321); time.sleep(600)"
    spec = ChildSpec(
        name="worker",
        argv=lambda facts: python(script, str(facts.get("worker", {}).get("port", 0))),
    )
    async with Supervisor([spec], data_dir=tmp_path, backoff=QUICK) as children:
        await children.start()
        first = children.pid("worker")
        children.kill("worker")
        await asyncio.wait_for(children.ready("worker", 2), 20)
        assert children.pid("worker") != first
        assert children.generation("worker") == 2
        assert children.facts["worker"] == {"port": 4321}


async def test_exit_code_2_stops_everything_with_the_childs_message(tmp_path):
    bad = "print('STREAMER_X: no such thing', file=sys.stderr); sys.exit(2)"
    specs = [
        ChildSpec(name="good", argv=python(SERVES)),
        ChildSpec(name="bad", argv=python(bad)),
    ]
    with pytest.raises(ChildFailed, match="STREAMER_X: no such thing") as failed:
        async with Supervisor(specs, data_dir=tmp_path) as children:
            await asyncio.wait_for(children.start(), 20)
    assert failed.value.exit_code == 2
    assert is_gone(children.pid("good"))
    assert (tmp_path / "logs" / "bad.log").read_text().count("STREAMER_X") == 1  # not restarted


async def test_a_refused_setting_arrives_as_the_error_it_was(tmp_path):
    refuses = """
        from runtime.errors import Misconfigured
        from runtime.shutdown import run
        async def main(stop):
            raise Misconfigured("STREAMER_PORT", "is taken", remedy="Take another.")
        sys.exit(run(main))
    """
    with pytest.raises(Misconfigured, match="is taken") as refused:
        async with Supervisor(
            [ChildSpec(name="bad", argv=python(refuses))], data_dir=tmp_path
        ) as children:
            await asyncio.wait_for(children.start(), 20)
    assert (refused.value.setting, refused.value.remedy) == ("STREAMER_PORT", "Take another.")


async def test_a_child_that_was_ready_once_may_refuse_while_what_it_needs_is_away(tmp_path):
    runs = tmp_path / "runs"
    script = f"""
        from runtime.errors import Misconfigured
        from runtime.shutdown import run
        async def main(stop):
            open({str(runs)!r}, "a").write("x")
            if os.path.getsize({str(runs)!r}) in (2, 3):
                raise Misconfigured("STREAMER_REDIS_HOST", "is away", remedy="Start it.")
            announce()
            await stop.wait()
        sys.exit(run(main))
    """
    spec = ChildSpec(name="sink", argv=python(script))
    async with Supervisor([spec], data_dir=tmp_path, backoff=QUICK) as children:
        await children.start()
        children.kill("sink")
        await asyncio.wait_for(children.ready("sink", 2), 20)
    assert runs.read_text() == "xxxx"


async def test_a_child_that_keeps_failing_is_given_up_with_its_last_lines(tmp_path):
    runs = tmp_path / "runs"
    fails = f"open({str(runs)!r}, 'a').write('x'); sys.exit('the reason is in the last line')"
    spec = ChildSpec(name="flaky", argv=python(fails), failures_max=3)
    with pytest.raises(ChildFailed, match="the reason is in the last line") as failed:
        async with Supervisor([spec], data_dir=tmp_path, backoff=QUICK) as children:
            await asyncio.wait_for(children.start(), 20)
    assert runs.read_text() == "xxx"
    assert failed.value.exit_code == 1
    assert str(tmp_path / "logs" / "flaky.log") in str(failed.value)


async def test_failures_are_forgiven_after_a_time_of_health(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "HEALTHY_AFTER_S", 0.0)
    spec = ChildSpec(name="old", argv=python("announce(); sys.exit(1)"), failures_max=2)
    async with Supervisor([spec], data_dir=tmp_path, backoff=QUICK) as children:
        await children.start()
        await asyncio.wait_for(children.ready("old", 4), 30)


async def test_a_child_that_is_not_ready_in_time_shows_its_last_lines(tmp_path):
    slow = "print('waiting for the moon', flush=True); time.sleep(600)"
    spec = ChildSpec(name="slow", argv=python(slow), ready_timeout_s=1.5)
    with pytest.raises(ChildFailed, match=r"not ready within 1\.5 s") as failed:
        async with Supervisor([spec], data_dir=tmp_path) as children:
            await asyncio.wait_for(children.start(), 20)
    assert "waiting for the moon" in str(failed.value)
    assert is_gone(children.pid("slow"))


async def test_a_program_that_does_not_exist_is_named(tmp_path):
    spec = ChildSpec(name="ghost", argv=["/no/such/program"], failures_max=1)
    with pytest.raises(ChildFailed, match="/no/such/program: No such file"):
        async with Supervisor([spec], data_dir=tmp_path) as children:
            await asyncio.wait_for(children.start(), 20)


async def test_a_child_that_ignores_sigterm_is_killed_and_its_group_with_it(tmp_path):
    deaf = """
        import subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        announce(left=left.pid)
        time.sleep(600)
    """
    spec = ChildSpec(name="deaf", argv=python(deaf), stop_timeout_s=0.3)
    async with Supervisor([spec], data_dir=tmp_path) as children:
        await children.start()
        pids = [children.pid("deaf"), children.facts["deaf"]["left"]]
    assert await gone_within(pids, 5)


async def test_stop_is_possible_while_a_child_is_still_starting(tmp_path):
    stop = asyncio.Event()
    spec = ChildSpec(name="slow", argv=python("time.sleep(600)"))
    async with Supervisor([spec], data_dir=tmp_path) as children:
        asyncio.get_running_loop().call_later(0.5, stop.set)
        await asyncio.wait_for(children.start(stop), 10)
        await asyncio.wait_for(children.wait(stop), 1)
    assert is_gone(children.pid("slow"))


async def test_logs_are_kept_small_and_passed_on(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(supervisor, "LOG_CHECK_INTERVAL_S", 0.1)
    bounded = logfile.bound
    monkeypatch.setattr(logfile, "bound", lambda path: bounded(path, 50_000))
    talks = """
        print("hello from the child", flush=True)
        announce()
        time.sleep(0.6)
        while True:
            print("x" * 999, flush=True)
            time.sleep(0.0005)
    """
    spec = ChildSpec(name="talks", argv=python(talks))
    log = tmp_path / "logs" / "talks.log"
    async with Supervisor([spec], data_dir=tmp_path, passthrough=True) as children:
        await children.start()
        for _ in range(400):
            if (tmp_path / "logs" / "talks.log.1").exists():
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
    assert log.stat().st_size < 2_000_000
    assert "hello from the child" in capfd.readouterr().err


FAMILY = """
    import asyncio, pathlib
    from runtime.child import ChildSpec
    from runtime.servers import kafka, redis
    from runtime.settings import load_settings
    from runtime.shutdown import run
    from runtime.supervisor import Supervisor
    async def main(stop):
        settings = load_settings(data_dir=pathlib.Path(sys.argv[1]), kafka_heap_mb=256)
        specs = [kafka.child(settings), redis.child(settings)]
        async with Supervisor(specs, data_dir=settings.data_dir) as children:
            await children.start()
            announce(**children.facts)
            await children.wait(stop)
    sys.exit(run(main))
"""


async def test_no_orphan_is_left_when_the_supervisor_is_killed(tmp_path):
    process, facts = started(FAMILY, str(tmp_path))
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("java" in member.name() for member in family)
    assert any("redis-server" in member.name() for member in family)
    assert len(family) == 4
    process.kill()
    process.wait()
    assert await gone_within([member.pid for member in family], 5)
    # What was killed comes back on the same data.
    again, facts_again = started(FAMILY, str(tmp_path))
    assert facts_again["kafka"] != facts["kafka"]
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=20) == 0


async def test_ctrl_c_stops_the_whole_family_cleanly_within_20_s(tmp_path):
    process, _ = started(FAMILY, str(tmp_path))
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert time.monotonic() - began < 20
    assert all(is_gone(member.pid) for member in family)


async def test_a_killed_broker_comes_back_on_the_port_that_the_others_know(tmp_path):
    from runtime.servers import kafka
    from runtime.settings import load_settings

    settings = load_settings(data_dir=tmp_path, kafka_heap_mb=256)
    async with Supervisor([kafka.child(settings)], data_dir=tmp_path) as children:
        await children.start()
        before = children.facts["kafka"]
        java = psutil.Process(children.pid("kafka")).children()[0]
        java.kill()
        await asyncio.wait_for(children.ready("kafka", 2), 40)
        assert children.facts["kafka"] == before


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    stubborn = """
        import asyncio
        from runtime.shutdown import run
        async def main(stop):
            announce()
            await stop.wait()
            open(sys.argv[1], "w").close()
            await asyncio.sleep(600)
        sys.exit(run(main))
    """
    heard = tmp_path / "heard"
    process, _ = started(stubborn, str(heard))
    process.send_signal(signal.SIGINT)
    while not heard.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130


@pytest.mark.parametrize(
    ("hangs", "code"),
    [("await asyncio.sleep(600)", 0), ("time.sleep(600)", 1)],
    ids=["cancelled", "a hanging loop is ended"],
)
def test_a_main_that_does_not_stop_is_ended_in_time(hangs, code):
    script = f"""
        import asyncio
        from runtime import shutdown
        shutdown.CANCEL_AFTER_S, shutdown.END_AFTER_S = 0.3, 1.0
        async def main(stop):
            announce()
            await stop.wait()
            {hangs}
        sys.exit(shutdown.run(main))
    """
    process, _ = started(script)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == code


async def test_the_watcher_used_elsewhere_than_linux_kills_too():
    watched = "from runtime.tether import watch; watch(int(sys.argv[1]))\n"
    watched += "print(flush=True); time.sleep(600)"
    parent = """
        import subprocess
        command = [*sys.argv[1:], str(os.getpid())]
        target = subprocess.Popen(command, stdout=subprocess.PIPE)
        target.stdout.readline()
        announce(target=target.pid)
        time.sleep(600)
    """
    process, facts = started(parent, *python(watched))
    target = facts["target"]
    assert not is_gone(target)
    process.kill()
    process.wait()
    assert await gone_within([target], 5)
