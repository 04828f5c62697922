"""The sinks' log at its end; with a broker it is tested through the sinks."""

import asyncio

from runtime.settings import Settings
from sinks.kafka_log import KafkaLog
from sinks.memory import MemorySink


async def test_a_broker_that_is_away_does_not_cut_the_closing_short(monkeypatch) -> None:
    log = KafkaLog(MemorySink(), Settings(kafka_bootstrap="127.0.0.1:1"))

    async def stop() -> None:
        raise asyncio.CancelledError  # as aiokafka does while it waits to fetch again

    monkeypatch.setattr(log._consumer, "stop", stop)
    await log.close()
    assert log._producer._closed
    monkeypatch.undo()
    await log._consumer.stop()
