"""The broker's ahead-of-time cache is made once, by one, and its lack stops nobody."""

import asyncio
import fcntl
import os
import time
from pathlib import Path

import pytest

from runtime.errors import PipelineError
from runtime.servers.aot import aot_flags


@pytest.fixture
def jars(tmp_path, monkeypatch):
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path))
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"classes")
    return [jar]


class Trainings:
    """How often a cache was made, and how."""

    def __init__(self, content: bytes = b"cache", error: Exception | None = None) -> None:
        self.count = 0
        self.content = content
        self.error = error

    async def __call__(self, flag: str) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error
        path_of(flag).write_bytes(self.content)


def path_of(flag: str) -> Path:
    return Path(flag.partition("=")[2])


def make_older(path: Path, *, days: int) -> None:
    then_s = time.time() - days * 86_400
    os.utime(path, (then_s, then_s))


def flags_of(jars, train) -> tuple[str, ...]:
    return asyncio.run(aot_flags(jars, train))


def test_it_is_made_once_and_anew_for_other_jars(jars, tmp_path, capsys):
    train = Trainings()
    (flag,) = flags_of(jars, train)
    assert path_of(flag).read_bytes() == b"cache"
    assert flags_of(jars, train) == (flag,)
    assert train.count == 1
    assert "once" in capsys.readouterr().err
    jars[0].write_bytes(b"other classes")
    (other,) = flags_of(jars, train)
    assert other != flag
    assert len(list(tmp_path.glob("*.aot"))) == 2, "others may use the old jars still"
    make_older(path_of(flag), days=31)
    jars[0].write_bytes(b"and others")
    flags_of(jars, train)
    assert not path_of(flag).exists()


@pytest.mark.parametrize("error", [PipelineError("Kafka ended"), None])
def test_where_it_cannot_be_made_the_broker_starts_without_and_tries_again_after_a_day(
    jars, tmp_path, error
):
    train = Trainings(error=error)
    if error is None:
        train.content = b""
    assert flags_of(jars, train) == ()
    assert flags_of(jars, train) == ()
    assert train.count == 1
    make_older(next(tmp_path.glob("*.aot")), days=2)
    train.error, train.content = None, b"cache"
    assert flags_of(jars, train) != ()
    assert not list(tmp_path.glob("*.new"))


def test_while_another_process_makes_it_nobody_waits(jars, tmp_path):
    train = Trainings()
    (flag,) = flags_of(jars, train)
    cache = path_of(flag)
    cache.unlink()
    with cache.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert flags_of(jars, train) == ()
    assert flags_of(jars, train) == (flag,)
    assert train.count == 2
