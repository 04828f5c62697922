"""The floor on asyncio: aiokafka, orjson and a dictionary, on uvloop."""

import uvloop
from aiokafka import AIOKafkaConsumer
from folds import Bars, by_orjson
from meter import BOOTSTRAP, TOPIC, Meter, candles_of


async def main() -> None:
    """Read the topic once."""
    consumer = AIOKafkaConsumer(
        TOPIC,  # without a group: all its partitions
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    meter, fold = Meter(), by_orjson()
    bars: Bars = {}
    while not meter.is_done:
        for messages in (await consumer.getmany(timeout_ms=200, max_records=5_000)).values():
            for message in messages:
                meter.count(fold(bars, message.value))
    meter.report(candles_of(bars))
    await consumer.stop()


uvloop.run(main())
