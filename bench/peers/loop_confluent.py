"""The floor: confluent-kafka (librdkafka in C), msgspec and a dictionary."""

import os

from confluent_kafka import Consumer, TopicPartition
from folds import Bars, by_msgspec
from meter import BOOTSTRAP, FORM, TOPIC, Meter, candles_of

RECORDS_PER_CALL = 5_000 if FORM == "plain" else 200


def main() -> None:
    """Read the topic once."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": "peers.confluent",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 100_000,
            # The default of a second lets a reader that is faster than 100,000 records/s stand
            # still for a second at a time.
            "fetch.queue.backoff.ms": 2,
        }
    )
    partitions = consumer.list_topics(TOPIC, timeout=20).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])
    meter, fold = Meter(), by_msgspec()
    bars: Bars = {}
    while not meter.is_done:
        for message in consumer.consume(RECORDS_PER_CALL, 0.2):
            meter.count(fold(bars, message.value()))
    meter.report(candles_of(bars))
    os._exit(0)  # closing waits for fetches that nobody needs


main()
