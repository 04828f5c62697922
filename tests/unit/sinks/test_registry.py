"""The registry knows every sink, and building one imports no other's client."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import Misconfigured
from runtime.settings import Settings
from sinks import SINKS, create
from sinks.base import Batch
from sinks.memory import MemorySink
from tests.support import market

CLIENTS = {"redis": "redis", "clickhouse": "clickhouse_connect"}


def test_an_unknown_sink_is_named_with_those_that_exist() -> None:
    with pytest.raises(Misconfigured) as caught:
        create("influx", Settings())
    assert "'influx'" in str(caught.value)
    assert all(name in str(caught.value) for name in SINKS)


def test_every_module_that_is_a_sink_is_registered() -> None:
    folder = Path(sys.modules["sinks"].__file__).parent
    shared = {"__init__", "app", "base", "gateway", "kafka_log", "knobs", "metrics", "tail"}
    shared |= {"alerts", "integrity", "topics", "worker"}
    names = {p.stem for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {"file" if name == "files" else name for name in names - shared} == set(SINKS)


@pytest.mark.parametrize("name", SINKS)
def test_building_one_sink_imports_no_other_client(name) -> None:
    code = (
        "import sys; from runtime.settings import Settings; from sinks import create;"
        f"create({name!r}, Settings(redis_host='127.0.0.1', _env_file=None));"
        f"print(*sys.modules.keys() & {set(CLIENTS.values())!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) == ({CLIENTS[name]} if name in CLIENTS else set())


async def test_the_memory_sink_keeps_a_repeated_record_once() -> None:
    sink = MemorySink()
    await sink.open()
    batch = market.batch("md.trades.v1", [b"a", b"b"])
    longer = Batch(
        [*batch.records, *market.batch("md.trades.v1", [b"c"], first_offset=2).records], {}
    )
    assert await sink.write(batch) == []
    await sink.write(longer)
    assert [record.value for record in sink.records] == [b"a", b"b", b"c"]
