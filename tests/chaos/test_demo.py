"""The whole pipeline on real parts, judged by the exchange's own truth."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]


async def demo(tmp_path: Path, *arguments: str) -> tuple[int, dict, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fibstream", "demo", "--json", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"STREAMER_DATA_DIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode, json.loads(out.splitlines()[-1]), err.decode()


async def test_every_candle_of_a_demo_equals_the_exchanges_own(tmp_path: Path) -> None:
    code, report, err = await demo(tmp_path, "--for", "20")
    assert code == 0, (report, err)
    assert report["trades_sent"] == report["trades_in_clickhouse"] > 3_000
    assert report["candles_checked"] > 500
    assert report["candles_wrong"] == 0
    assert report["trades_missing_named"] == 0
    assert report["redis_keys"] > 4
    assert report["ws_messages"] > 100
    assert report["latency_ms"]["p50"] is not None
    assert report["close_delay_ms"]["p50"] is not None


@pytest.mark.soak
async def test_kill_9_of_worker_sink_and_ingestor_leaves_every_candle_right(tmp_path: Path) -> None:
    kills = [("process", 5), ("sink-clickhouse", 15), ("sink-redis", 18), ("ingest", 24)]
    arguments = [text for name, at_s in kills for text in ("--kill", f"{name}@{at_s}")]
    code, report, err = await demo(tmp_path, "--for", "34", *arguments)
    assert code == 0, (report, err)
    assert report["kills"] == [name for name, _ in kills]
    assert report["candles_wrong"] == report["trades_lost"] == report["trades_doubled"] == 0
    assert report["trades_missing_named"] > 0, "the ingestor's dead time must be named"


@pytest.mark.soak
async def test_interrupting_a_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fibstream", "demo", "--port", "0"),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"STREAMER_DATA_DIR": str(tmp_path)},
    )
    assert process.stderr is not None
    while b"Open http" not in (line := await process.stderr.readline()):
        assert line, "it ended before the page was there"
    process.terminate()
    await asyncio.wait_for(process.communicate(), 25)
    assert process.returncode == 0
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(folder).encode() in _read(path)
    ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() + (path.parent / "environ").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile
