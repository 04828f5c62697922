"""What is recorded of the simulated exchanges, and what a replay makes of the files."""

import asyncio
import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from fibstream.replay import Replay, ReplayOptions
from ingest import recorder as recorders
from ingest.recorder import Recorder, RecordOptions
from ingest.reel import Rotation
from runtime.errors import Misconfigured
from runtime.settings import Settings, load_settings
from simulator import Simulator, SimulatorOptions, control
from simulator.options import EXCHANGES

pytestmark = pytest.mark.integration

SYMBOLS = 3


def settings_for(sim: Simulator, exchange: str, **more: object) -> Settings:
    channels = sim.of(exchange)
    addresses = {
        f"exchange_{channel}_{end}_url": sim.url(channel, end, exchange)
        for channel in channels
        for end in ("rest", "ws")
    }
    wanted = {
        "exchange": exchange,
        "exchange_load_all_symbols": True,
        "enable_linear_stream": "linear" in channels,
        "enable_spot_stream": "spot" in channels,
        "stream_kinds": ("all",),
        "redis_url": None,
    }
    return load_settings(**(wanted | addresses | more))


def options(folder: Path, **more: object) -> RecordOptions:
    return RecordOptions(folder=folder, **{"rotation": Rotation(), **more})


async def recorded(settings: Settings, wanted: RecordOptions, sim: Simulator | None = None) -> dict:
    """Record to the end of the options, or, with a simulator, until it has traded for a while."""
    stop = asyncio.Event()
    recorder = Recorder(settings, wanted)
    task = asyncio.create_task(recorder.run(stop))
    if sim is not None:
        await until(lambda: task.done() or are_live(recorder))
        await asyncio.sleep(2.5)
        sim.stop()
        await asyncio.sleep(0.6)
        stop.set()
    await asyncio.wait_for(task, 30)
    return recorder.summary


def are_live(recorder: Recorder) -> bool:
    feeds = [feed for desk in recorder._desks.values() for feed in desk.feeds]
    return bool(feeds) and all(feed.live.is_set() for feed in feeds)


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def replayed(files: list[str], exchange: str, channel: str, to: str) -> tuple[list[dict], dict]:
    wanted = ReplayOptions(
        exchange=exchange,
        channel=channel,
        files=files,
        to=to,
        intervals="1s",
        settings=load_settings(),
    )
    replay = Replay(wanted)
    rows = [json.loads(line, parse_float=Decimal) for line in replay.rows()]
    assert replay.tape.damaged == []
    return rows, replay.summary.as_dict()


Trade = tuple[str, str, int, Decimal, int]


def told(sim: Simulator, exchange: str, channel: str) -> tuple[set[Trade], set[Trade]]:
    """The trades that were sent to somebody as they happened, and all that happened."""
    market = sim.of(exchange)[channel]
    sent, every = set(), set()
    for symbol in market.symbols:
        rows = control.trades(market, {"symbol": symbol.name, "limit": "100000"})
        columns = ("id", "uid", "ts", "price", "side", "sent_ns")
        for id_, uid, ts, price, side, sent_ns in zip(*(rows[c] for c in columns), strict=True):
            trade = symbol.name, str(uid or id_), ts, Decimal(price), side
            every.add(trade)
            if sent_ns > 0:
                sent.add(trade)
    return sent, every


def trades_of(rows: list[dict]) -> set[Trade]:
    found = [
        (r["symbol"], str(r.get("uid") or r["id"]), r["ts"], r["price"], r["side"])
        for r in rows
        if r["kind"] == "trades"
    ]
    assert len(found) == len(set(found)) > 50
    return set(found)


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_a_replay_of_a_recording_tells_what_the_exchange_sent(
    exchange: str, tmp_path: Path
) -> None:
    simulated = SimulatorOptions(
        exchanges=(exchange,),
        symbols=SYMBOLS,
        trades_per_s=300,
        seed=5,
        insurance_fund_share=0,  # the truth does not note whether those were sent
    )
    async with Simulator(simulated) as sim:
        summary = await recorded(settings_for(sim, exchange), options(tmp_path), sim)
        truth = {channel: told(sim, exchange, channel) for channel in sim.of(exchange)}
    assert summary["ended"] == "stopped"
    for channel, market in summary["markets"].items():
        (file,) = market["files"]
        assert Path(file).name.startswith(f"{exchange}_{channel}_2")
        rows, report = replayed([file], exchange, channel, "events")
        assert report["refused"] == 0, report["refusals"]
        assert report["frames"] == market["frames"] + market["rest_bodies"]
        sent, every = truth[channel]
        assert sent <= trades_of(rows) <= every, "some venues begin with trades of the past"
        candles, report = replayed([file], exchange, channel, "klines")
        assert candles
        assert report["refused"] == 0
        tops, report = replayed([file], exchange, channel, "book-tops")
        assert report["refused"] == 0
        assert {row["symbol"] for row in tops} == {
            r["symbol"] for r in rows if r["kind"] == "books"
        }
        assert "void_books" not in report
        assert "book_gaps" not in report or set(report["book_gaps"]) <= {"hole_recovered"}


async def test_files_rotate_and_together_hold_everything(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(recorders, "FLUSH_EVERY_S", 0.2)
    rotation = Rotation(mib_max=0)  # at every flush
    simulated = SimulatorOptions(markets=("linear",), symbols=SYMBOLS, trades_per_s=300, seed=5)
    async with Simulator(simulated) as sim:
        wanted = options(tmp_path, rotation=rotation)
        summary = await recorded(settings_for(sim, "binance"), wanted, sim)
        truth, _ = told(sim, "binance", "linear")
    files = summary["markets"]["linear"]["files"]
    assert len(files) > 5
    for file in files:
        assert lines(file) == lines(file.replace(".jsonl.gz", ".recv_ts.gz"))
    rows, report = replayed(files, "binance", "linear", "events")
    assert report["refused"] == 0
    assert trades_of(rows) == truth
    assert b'"SUBSCRIBE"' in b"".join(unpacked(tmp_path, "*_sent.txt.gz"))


def lines(path: str) -> int:
    return gzip.decompress(Path(path).read_bytes()).count(b"\n")


def unpacked(folder: Path, pattern: str) -> list[bytes]:
    return [gzip.decompress(path.read_bytes()) for path in folder.glob(pattern)]


async def test_it_ends_after_so_many_frames_and_not_one_more(tmp_path: Path) -> None:
    async with Simulator(SimulatorOptions(symbols=SYMBOLS, trades_per_s=300)) as sim:
        summary = await recorded(settings_for(sim, "binance"), options(tmp_path, frames_max=77))
    assert (summary["ended"], summary["frames"]) == ("frames", 77)
    files = [file for market in summary["markets"].values() for file in market["files"]]
    bodies = sum(market["rest_bodies"] for market in summary["markets"].values())
    assert sum(map(lines, files)) == 77 + bodies


def test_kill_9_leaves_readable_files_of_all_but_the_last_seconds(tmp_path: Path) -> None:
    asyncio.run(_kill_9(tmp_path))
    (file,) = map(str, tmp_path.glob("*.jsonl.gz"))
    rows, report = replayed([file], "binance", "linear", "events")
    assert report["refused"] == 0
    assert report["trades"] > 300  # of about 900
    assert rows


async def _kill_9(folder: Path) -> None:
    simulated = SimulatorOptions(markets=("linear",), symbols=SYMBOLS, trades_per_s=300)
    async with Simulator(simulated) as sim:
        child = await command(settings_for(sim, "binance"), str(folder))
        try:
            await until(lambda: any(p.stat().st_size for p in folder.glob("*.jsonl.gz")))
            await asyncio.sleep(3)
        finally:
            child.send_signal(signal.SIGKILL)
            await child.wait()


async def command(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fibstream", "record", *arguments),
        env=os.environ | settings.environment(),
        stderr=subprocess.PIPE,
    )


async def test_the_command_ends_in_time_or_by_ctrl_c_and_sums_up_in_its_last_line(
    tmp_path: Path,
) -> None:
    async with Simulator(SimulatorOptions(symbols=SYMBOLS, trades_per_s=300)) as sim:
        settings = settings_for(sim, "binance")
        timed = await command(settings, str(tmp_path / "timed"), "--for", "3")
        stopped = await command(settings, str(tmp_path / "stopped"))
        await until(lambda: any((tmp_path / "stopped").glob("*.jsonl.gz")))
        stopped.send_signal(signal.SIGINT)
        for child, ended in ((timed, "for"), (stopped, "stopped")):
            _, stderr = await asyncio.wait_for(child.communicate(), 30)
            assert child.returncode == 0, stderr.decode()
            summary = json.loads(stderr.splitlines()[-1])
            assert summary["ended"] == ended
            assert summary["frames"] > 0


async def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    async with Simulator(SimulatorOptions(symbols=1)) as sim:
        child = await command(settings_for(sim, "binance"), str(taken / "folder"))
        _, stderr = await asyncio.wait_for(child.communicate(), 30)
        assert child.returncode == 2
        assert f"{taken / 'folder'} cannot be written" in stderr.decode()
        assert "Traceback" not in stderr.decode()


async def test_a_full_disk_ends_the_recording_and_what_was_flushed_is_whole(
    tmp_path: Path, monkeypatch
) -> None:
    written = 0
    write = os.write

    def full_after_a_while(fd: int, data: bytes) -> int:
        nonlocal written
        if written + len(data) > 3_000:  # a part of the member goes through, as on a real disk
            with contextlib.suppress(OSError):
                write(fd, data[:100])
            raise OSError(28, "No space left on device")
        written += len(data)
        return write(fd, data)

    monkeypatch.setattr(recorders, "FLUSH_EVERY_S", 0.1)
    simulated = SimulatorOptions(markets=("linear",), symbols=SYMBOLS, trades_per_s=300)
    async with Simulator(simulated) as sim:
        settings = settings_for(sim, "binance")
        recorder = Recorder(settings, options(tmp_path))
        monkeypatch.setattr("ingest.reel.os.write", full_after_a_while)
        with pytest.raises(Misconfigured, match="No space left on device"):
            await asyncio.wait_for(recorder.run(asyncio.Event()), 20)
        monkeypatch.undo()
    assert recorder.summary["ended"] == "failed"
    assert all(unpacked(tmp_path, "*.gz"))
