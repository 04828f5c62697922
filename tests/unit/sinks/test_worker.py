"""Delivery: write, then commit; an outage repeats, a refusal is set aside, a stop loses nothing."""

import asyncio

import pytest

from runtime.errors import Retriable
from schemas.topics import TRADES
from sinks.base import Batch, BatchLimits, Refused
from sinks.worker import SinkWorker
from tests.support import market

BATCH = market.batch(TRADES.name, [b"a", b"b"], first_offset=40)
AWAY = Retriable("connection refused", retry_after_s=2.0)


class ScriptedSink:
    name = "scripted"
    topics = (TRADES,)
    limits = BatchLimits(records_max=10, bytes_max=10, linger_ms=0)

    def __init__(self, log: list, *script) -> None:
        self.log = log
        self.script = list(script)

    async def write(self, batch: Batch):
        self.log.append(("write", batch.token))
        outcome = self.script.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class ScriptedLog:
    """Hands out batches; ``fails`` maps a call to the errors that its first tries raise."""

    def __init__(self, log: list, *batches: Batch | None, fails=None, on_hold=None) -> None:
        self.log = log
        self.batches = list(batches)
        self.fails = fails or {}
        self.on_hold = on_hold or (lambda: None)

    async def next_batch(self):
        return self.batches.pop(0)

    async def set_aside(self, refused) -> None:
        self._call("set_aside", [each.reason for each in refused])

    async def commit(self, batch) -> None:
        self._call("commit", batch.next_offsets[TRADES.name, 0])

    async def hold(self, seconds: float) -> None:
        self.log.append(("hold", seconds))
        self.on_hold()

    def _call(self, name: str, what) -> None:
        self.log.append((name, what))
        if self.fails.get(name):
            raise self.fails[name].pop(0)


WRITE = ("write", BATCH.token)


async def test_outage_repeats_the_same_batch_then_commits_once() -> None:
    calls = []
    sink = ScriptedSink(calls, AWAY, AWAY, [])
    await SinkWorker(sink, ScriptedLog(calls, BATCH), asyncio.Event()).step()
    assert calls == [WRITE, ("hold", 2.0), WRITE, ("hold", 2.0), WRITE, ("commit", 42)]


async def test_refused_records_are_durable_before_the_commit() -> None:
    calls = []
    sink = ScriptedSink(calls, [Refused(BATCH.records[1], "no number")])
    await SinkWorker(sink, ScriptedLog(calls, BATCH), asyncio.Event()).step()
    assert calls == [WRITE, ("set_aside", ["no number"]), ("commit", 42)]


async def test_no_commit_while_the_dead_letters_cannot_be_written() -> None:
    calls = []
    sink = ScriptedSink(calls, [Refused(BATCH.records[0], "bad")])
    log = ScriptedLog(calls, BATCH, fails={"set_aside": [AWAY]})
    await SinkWorker(sink, log, asyncio.Event()).step()
    assert [name for name, _ in calls] == ["write", "set_aside", "hold", "set_aside", "commit"]


async def test_a_commit_that_fails_for_now_is_repeated_without_writing_again() -> None:
    calls = []
    log = ScriptedLog(calls, BATCH, fails={"commit": [AWAY]})
    await SinkWorker(ScriptedSink(calls, []), log, asyncio.Event()).step()
    assert [name for name, _ in calls] == ["write", "commit", "hold", "commit"]


async def test_a_bug_commits_nothing() -> None:
    calls = []
    worker = SinkWorker(
        ScriptedSink(calls, ZeroDivisionError()), ScriptedLog(calls, BATCH), asyncio.Event()
    )
    with pytest.raises(ZeroDivisionError):
        await worker.run()
    assert calls == [WRITE]


async def test_a_stop_during_an_outage_commits_nothing_and_ends() -> None:
    calls, stop = [], asyncio.Event()
    log = ScriptedLog(calls, BATCH, on_hold=stop.set)
    await SinkWorker(ScriptedSink(calls, AWAY, []), log, stop).run()
    assert calls == [WRITE, ("hold", 2.0)]


async def test_a_stop_between_batches_ends_after_the_commit() -> None:
    calls, stop = [], asyncio.Event()

    class LastBatch(ScriptedLog):
        async def commit(self, batch) -> None:
            await super().commit(batch)
            stop.set()

    await SinkWorker(ScriptedSink(calls, []), LastBatch(calls, None, BATCH), stop).run()
    assert calls == [WRITE, ("commit", 42)]
