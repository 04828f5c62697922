"""A Faust app on the transport under test: it chains the checksums of what it reads, in order.

Run as a module, it is a worker that saves, once in a while, each partition's next offset and chain
in its table's changelog, and goes on from there in its next life. One chain equals a plain reader's
only if every record was taken once and in order.
"""

import argparse
import asyncio
import os
import signal
import zlib

import faust
import structlog
from aiokafka import AIOKafkaProducer
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from processors.transport import Transport, records_of
from runtime.ready import announce

logger = structlog.get_logger(__name__)

TOPIC = "records"
APP = "chaining"
TABLE = "chains"
CHANGELOG = f"{APP}-{TABLE}-changelog"
SAVE_EVERY_S = 0.1


class KeepingFlowControl(FlowControlEvent):
    def resume(self) -> None:
        if not self.is_active():
            super().resume()


class App(faust.App):
    recovered: asyncio.Event

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        return KeepingFlowControl()

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        self.recovered.set()


def create_app(bootstrap: str, prefix: str, partitions: int, folder: str) -> App:
    app = App(
        prefix + APP,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=folder,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        broker_commit_interval=0.2,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=16,
        stream_wait_empty=True,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    app.recovered = asyncio.Event()
    return app


def chained(chain: int, offset: int, value: bytes | None) -> int:
    return zlib.crc32(b"%d:%b" % (offset, value or b"-"), chain)


class Chains:
    def __init__(self, app: App, prefix: str, partitions: int) -> None:
        self.app = app
        self.table = app.Table(TABLE, partitions=partitions, key_type=bytes, value_type=bytes)
        self.topic = app.topic(
            prefix + TOPIC, key_type=bytes, value_type=bytes, value_serializer="raw"
        )
        self.prefix = prefix
        self.at: dict[int, tuple[int, int]] = {}  # of a partition: its next offset and its chain
        self.events: list = []
        self.sought: set[TP] = set()
        self.is_restored = asyncio.Event()
        app.agent(self.topic, name=APP)(self.read)
        app.on_partitions_revoked.connect(self.forget)

    async def read(self, stream) -> None:
        try:
            async for event in stream.noack().events():
                await self.take(event)
        except Exception:  # Faust would ack the event and lose it
            logger.exception("agent_failed")
            os._exit(70)

    async def take(self, event) -> None:
        tp, records = event.message.tp, records_of(event)
        if tp.partition not in self.at:
            await self.is_restored.wait()
        if tp.partition not in self.at:
            event.ack()
            return
        offset, chain = self.at[tp.partition]
        if records[0].offset > offset:
            logger.warning("hole_found", tp=tp, expected=offset, got=records[0].offset)
            if tp not in self.sought:
                self.sought.add(tp)
                await self.app.consumer.seek(tp, offset)
            event.ack()
            return
        self.sought.discard(tp)
        for record in records:
            if record.offset == offset:
                offset, chain = offset + 1, chained(chain, offset, record.value)
        self.at[tp.partition] = offset, chain
        self.events.append(event)

    async def restore(self) -> None:
        tps = [tp for tp in self.app.consumer.assignment() if tp.topic == self.prefix + TOPIC]
        for tp in tps:
            saved = self.table.data.data.get(b"@%d" % tp.partition, b"0 0")
            offset, chain = map(int, saved.split())
            self.at[tp.partition] = offset, chain
            await self.app.consumer.seek(tp, offset)
        self.is_restored.set()

    async def save(self, producer: AIOKafkaProducer) -> None:
        events, self.events = self.events, []
        if not events:
            return
        touched = {event.message.partition for event in events}
        states = {p: b"%d %d" % self.at[p] for p in touched}
        sent = [
            await producer.send(self.prefix + CHANGELOG, state, key=b"@%d" % p, partition=p)
            for p, state in states.items()
        ]
        await asyncio.gather(*sent)
        self.table.data.data.update({b"@%d" % p: state for p, state in states.items()})
        for event in events:
            event.ack()

    async def forget(self, *_: object, **__: object) -> None:
        self.is_restored.clear()
        self.at.clear()
        self.events.clear()
        self.sought.clear()


async def run(bootstrap: str, prefix: str, partitions: int, folder: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = create_app(bootstrap, prefix, partitions, folder)
    chains = Chains(app, prefix, partitions)

    async def save_for_ever() -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await chains.save(producer)

    async def restore_for_ever() -> None:
        while True:
            await app.recovered.wait()
            app.recovered.clear()
            await chains.restore()
            announce(keys=len(chains.table.data.data))

    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        tasks = [asyncio.create_task(save_for_ever()), asyncio.create_task(restore_for_ever())]
        await app.start()
        await stop.wait()
        await app.stop()  # waits until the last event is saved and acked
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap")
    parser.add_argument("prefix")
    parser.add_argument("partitions", type=int)
    parser.add_argument("folder")
    asyncio.run(run(**vars(parser.parse_args())))
