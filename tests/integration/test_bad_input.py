"""Bad input through the real command: one clear message, exit code 2, and nothing lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from market import group, trade_batch

from fibstream.topics import create_topics
from runtime.settings import Settings, load_settings
from schemas.dead_letters import decode_dead_letter
from schemas.klines import Kline, decode_klines
from schemas.topics import DEAD_LETTERS, KLINES, TRADES
from schemas.trades import encode_batch

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
NOBODY = "127.0.0.1:9"  # the discard port: nobody listens there
KAFKA = {"STREAMER_KAFKA_BOOTSTRAP": NOBODY}


def environment(tmp_path: Path, settings: dict[str, str]) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    data = {"STREAMER_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(REPOSITORY)}
    return {**mine, **data, **settings}


@pytest.fixture
def refusal(tmp_path):
    """Run a command that must refuse its settings; return its message."""

    def run(*argv: str, within_s: float = 60.0, module: str = "fibstream", **settings: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *argv],
            env=environment(tmp_path, settings),
            cwd=tmp_path,  # no .env of a developer
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


class NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def not_an_exchange() -> Iterator[str]:
    """A web server that knows none of the paths it is asked for."""
    server = HTTPServer(("127.0.0.1", 0), NotFound)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# -- words and numbers


@pytest.mark.parametrize("command", [["ingest"], ["up"]])
def test_an_unknown_exchange_is_named_beside_the_known_ones(refusal, command) -> None:
    message = refusal(*command, STREAMER_EXCHANGE="krakenx")
    assert "STREAMER_EXCHANGE: 'krakenx' is unknown" in message
    assert "binance" in message


@pytest.mark.parametrize("command", [["process"], ["demo"]])
def test_a_bad_interval_is_named_with_valid_ones(refusal, command) -> None:
    message = refusal(*command, STREAMER_KLINE_INTERVALS="1m,7x", **KAFKA)
    assert "STREAMER_KLINE_INTERVALS: '7x' is not an interval" in message
    assert "173m" in message


def test_a_bad_bar_is_named_with_valid_ones(refusal) -> None:
    message = refusal("process", STREAMER_BARS="tick:1000,volume:0", **KAFKA)
    assert "STREAMER_BARS: 'volume:0' is not a bar: its size is not above zero" in message
    assert "dollar:1000000" in message


@pytest.mark.parametrize("command", [["process"], ["up"]])
def test_text_where_a_number_belongs_is_named(refusal, command) -> None:
    message = refusal(*command, STREAMER_KAFKA_PARTITIONS="many")
    assert "STREAMER_KAFKA_PARTITIONS" in message
    assert "valid integer" in message
    assert "'many'" in message


def test_a_consumer_that_does_not_exist_is_named(refusal) -> None:
    message = refusal("up", STREAMER_ENABLED_CONSUMERS="clickhouse,postgres")
    assert "STREAMER_ENABLED_CONSUMERS: there is no consumer 'postgres'" in message
    assert "redis" in message


# -- ports and disks


def test_a_demo_on_a_taken_port_starts_nothing(refusal, taken_port) -> None:
    message = refusal("demo", "--for", "5", "--port", taken_port)
    assert f"STREAMER_WEBSOCKET_PORT: cannot listen on 127.0.0.1:{taken_port}" in message
    assert "another port" in message


@pytest.mark.parametrize("command", [["gateway"], ["up"]])
def test_a_taken_gateway_port_is_named(refusal, taken_port, command) -> None:
    kafka = KAFKA if command == ["gateway"] else {}
    message = refusal(*command, STREAMER_WEBSOCKET_PORT=taken_port, **kafka)
    assert f"STREAMER_WEBSOCKET_PORT: cannot listen on 127.0.0.1:{taken_port}" in message


def test_a_taken_metrics_port_is_named(refusal, taken_port) -> None:
    message = refusal("process", STREAMER_METRICS_PORT=taken_port, **KAFKA)
    assert f"STREAMER_METRICS_PORT: cannot listen on 127.0.0.1:{taken_port}" in message


@pytest.mark.parametrize(
    ("place", "setting"), [(["--ephemeral"], "TMPDIR"), (["--data", "kafka"], "STREAMER_DATA_DIR")]
)
def test_too_small_a_disk_is_told_before_kafka_starts(refusal, tmp_path, place, setting) -> None:
    argv = [*place, "--min-free-mb", str(10**9)]
    message = refusal(*argv, module="runtime.servers.kafka", TMPDIR=str(tmp_path))
    assert message.startswith(setting)
    assert "MB free, 1000000000 MB are needed" in message
    assert "another disk" in message
    assert not list(tmp_path.rglob("server.properties"))


@pytest.mark.parametrize(
    ("command", "setting"),
    [("up", "STREAMER_DATA_DIR"), ("process", "STREAMER_DATA_DIR"), ("up", "STREAMER_LOG_FILE")],
)
def test_a_place_that_cannot_be_written_is_named(refusal, tmp_path, command, setting) -> None:
    (tmp_path / "file").touch()
    kafka = KAFKA if command == "process" else {}
    message = refusal(command, **{setting: str(tmp_path / "file" / "below")}, **kafka)
    assert f"{setting}: cannot write to {tmp_path / 'file' / 'below'}" in message
    assert "this user may write to" in message


# -- addresses


@pytest.mark.parametrize(
    ("command", "bootstrap"),
    [(["ingest"], "localhost"), (["sink", "redis"], "h:kafka"), (["gateway"], "h:99999")],
)
def test_a_malformed_bootstrap_is_told_at_once(refusal, command, bootstrap) -> None:
    message = refusal(*command, STREAMER_KAFKA_BOOTSTRAP=bootstrap)
    assert f"STREAMER_KAFKA_BOOTSTRAP: '{bootstrap}' is not the address of a broker" in message
    assert "host:port" in message


def test_a_single_stage_must_be_told_where_kafka_is(refusal) -> None:
    message = refusal("process")
    assert "STREAMER_KAFKA_BOOTSTRAP: is not set" in message
    assert "fibstream up" in message


def test_a_broker_that_nobody_runs_is_named_after_half_a_minute(refusal) -> None:
    message = refusal("process", **KAFKA, within_s=90)
    assert f"STREAMER_KAFKA_BOOTSTRAP: no Kafka broker answered at {NOBODY}" in message
    assert "Start the broker" in message


@pytest.mark.parametrize(
    ("url", "told"),
    [("nonsense", "form https://host"), ("ftp://x", "form https://host"), ("http://x:y", "URL")],
)
def test_an_exchange_address_that_is_no_url_is_told_at_once(refusal, url, told) -> None:
    message = refusal("ingest", STREAMER_EXCHANGE_LINEAR_REST_URL=url, **KAFKA)
    assert f"STREAMER_EXCHANGE_LINEAR_REST_URL: '{url}'" in message
    assert told in message


def test_an_exchange_address_of_something_else_is_told_at_once(refusal, not_an_exchange) -> None:
    message = refusal("ingest", STREAMER_EXCHANGE_LINEAR_REST_URL=not_an_exchange, **KAFKA)
    assert f"STREAMER_EXCHANGE_LINEAR_REST_URL: '{not_an_exchange}' answers HTTP 404" in message
    assert "leave it empty" in message


def test_an_exchange_address_where_nobody_listens_is_told_soon(refusal) -> None:
    url = f"http://{NOBODY}"
    message = refusal("ingest", STREAMER_EXCHANGE_LINEAR_REST_URL=url, **KAFKA, within_s=75)
    assert f"STREAMER_EXCHANGE_LINEAR_REST_URL: '{url}' does not answer" in message


def test_a_clickhouse_address_that_is_no_url_is_told_at_once(refusal) -> None:
    message = refusal("sink", "clickhouse", STREAMER_CLICKHOUSE_URL="clickhouse:8123", **KAFKA)
    assert "STREAMER_CLICKHOUSE_URL: it is not an http:// or https:// URL" in message
    assert "http://user:password@host:8123/database" in message


def test_a_clickhouse_that_nobody_runs_is_named_and_its_password_is_not(
    refusal, kafka_bootstrap, topic_prefix
) -> None:
    message = refusal(
        "sink",
        "clickhouse",
        STREAMER_CLICKHOUSE_URL=f"http://writer:s3cret@{NOBODY}/market",
        STREAMER_KAFKA_BOOTSTRAP=kafka_bootstrap,
        STREAMER_KAFKA_TOPIC_PREFIX=topic_prefix,
    )
    assert "STREAMER_CLICKHOUSE_URL" in message
    assert "s3cret" not in message


def test_a_redis_that_nobody_runs_is_named_and_its_password_is_not(
    refusal, kafka_bootstrap, topic_prefix
) -> None:
    message = refusal(
        "sink",
        "redis",
        STREAMER_REDIS_HOST="127.0.0.1",
        STREAMER_REDIS_PORT="9",
        STREAMER_REDIS_PASSWORD="s3cret",  # noqa: S106 - that is the point
        STREAMER_KAFKA_BOOTSTRAP=kafka_bootstrap,
        STREAMER_KAFKA_TOPIC_PREFIX=topic_prefix,
    )
    assert "STREAMER_REDIS_HOST: no Redis that can be used at 127.0.0.1:9" in message
    assert "s3cret" not in message


# -- records


async def test_a_broken_record_is_set_aside_with_its_bytes_and_the_worker_goes_on(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    settings = load_settings(
        kafka_bootstrap=kafka_bootstrap,
        kafka_topic_prefix=topic_prefix,
        kafka_partitions=1,
        data_dir=tmp_path / "data",
    )
    await create_topics(settings)
    text = encode_batch(trade_batch(group(4))).replace(b"[2814514", b'["28145.14"')
    uneven = encode_batch(trade_batch(group(4, qty=[1])))
    values = [
        encode_batch(trade_batch(group(1, count=3))),
        b"\x00not a record",
        text,
        uneven,
        encode_batch(trade_batch(group(4, count=2))),
    ]
    await produce(settings, values)
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fibstream", "process"),
        env=environment(tmp_path, settings.environment()),
        cwd=tmp_path,
    )
    try:
        letters = await records_of(settings, DEAD_LETTERS.name, count=3)
        minute = await closed_minute(settings, last_id=5)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    told = [decode_dead_letter(value) for value in letters]
    assert [letter.payload for letter in told] == [values[1], text, uneven]
    source = f"{topic_prefix}{TRADES.name}/0/"
    assert [letter.source for letter in told] == [source + "1", source + "2", source + "3"]
    assert "Expected `int`, got `str`" in told[1].reason
    assert "columns of different length" in told[2].reason
    assert (minute.first_id, minute.trade_count, minute.quality) == (1, 5, "assumed")


async def produce(settings: Settings, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(settings.kafka_topic_prefix + TRADES.name, value)
    finally:
        await producer.stop()


async def consuming(settings: Settings, topic: str):
    consumer = AIOKafkaConsumer(
        settings.kafka_topic_prefix + topic,
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            async for record in consumer:
                yield record.value
    finally:
        await consumer.stop()


async def records_of(settings: Settings, topic: str, *, count: int) -> list[bytes]:
    found = []
    async for value in consuming(settings, topic):
        found.append(value)
        if len(found) == count:
            break
    return found


async def closed_minute(settings: Settings, *, last_id: int) -> Kline:
    """Return the closed minute that holds every trade up to ``last_id``."""
    async for value in consuming(settings, KLINES.name):
        for row in decode_klines(value).data:
            if row.interval == 60_000 and row.last_id == last_id:
                return row
    raise AssertionError("consuming ends by its time limit")
