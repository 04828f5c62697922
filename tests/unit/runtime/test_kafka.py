import pytest
from aiokafka.producer import AIOKafkaProducer

from runtime.errors import Misconfigured
from runtime.kafka import parse_bootstrap, partition_for, producer_options


@pytest.mark.parametrize(
    ("key", "partition"),
    # From org.apache.kafka.common.utils.Utils.murmur2 & 0x7fffffff, modulo 1000.
    [(b"21", 0), (b"foobar", 0), (b"a-little-bit-long-string", 0)],
)
def test_partition_is_that_of_every_kafka_client(key, partition):
    java = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert partition_for(key, 1_000) == (java[key] & 0x7FFFFFFF) % 1_000


@pytest.mark.parametrize("text", ["", "kafka", "kafka:", ":9092", "kafka:x", "a:1,,b:2", "a:70000"])
def test_text_that_is_no_address_is_named(text):
    with pytest.raises(Misconfigured) as refused:
        parse_bootstrap(text)
    assert refused.value.setting == "STREAMER_KAFKA_BOOTSTRAP"


def test_addresses_are_separated_by_commas():
    assert parse_bootstrap("a:1, [::1]:2") == [("a", 1), ("::1", 2)]


async def test_the_producer_takes_the_options():
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", **producer_options())
    assert producer._txn_manager is not None  # idempotent
    await producer.stop()
