"""Alerts over the real broker, to a real receiver on loopback."""

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from alerting import MARKET, SECRET, Webhook, price, rule
from streaming import World as Gateways

from runtime.backoff import Backoff
from runtime.kafka import ensure_topics, topic_specs
from runtime.settings import Settings
from schemas.alerts import decode_alert_state, encode_alert
from schemas.dead_letters import decode_dead_letter
from schemas.klines import PriceEnvelope
from schemas.topics import (
    ALERT_STATES,
    ALERTS,
    DEAD_LETTERS,
    GAPS,
    KLINES,
    KLINES_LIVE,
    PRICES,
    STREAMS,
)
from sinks.alerts import app, gauges, targets
from sinks.alerts.app import Alerts
from sinks.alerts.courier import Courier

pytestmark = pytest.mark.integration

QUICK = partial(Courier, pauses=Backoff(first_s=0.05, max_s=0.1), tries_max=3)


class World:
    """A broker with the topics, what writes to it, and the alerts of it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.settings = Settings(
            _env_file=None, kafka_bootstrap=bootstrap, kafka_topic_prefix=prefix, kafka_partitions=1
        )
        self.rev = 0
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)

    async def __aenter__(self):
        every = (ALERTS, ALERT_STATES, DEAD_LETTERS, GAPS, KLINES, KLINES_LIVE, PRICES, STREAMS)
        specs = topic_specs(self.settings, every)
        await ensure_topics(self.settings.kafka_bootstrap, specs)
        await self._producer.start()
        return self

    async def __aexit__(self, *_):
        await self._producer.stop()

    def name(self, topic) -> str:
        return self.settings.kafka_topic_prefix + topic.name

    async def put(self, topic, key, value) -> None:
        await self._producer.send_and_wait(self.name(topic), value, key.encode())

    async def write(self, *rules) -> None:
        for each in rules:
            await self.put(ALERTS, each.id, encode_alert(each))

    async def prices(self, *values) -> None:
        for value in values:
            self.rev += 1
            row = price(value, self.rev, ts=time.time_ns() // 1_000_000)
            envelope = PriceEnvelope(*MARKET[:2], [row], row.ts)
            encoder = msgspec.json.Encoder(decimal_format="number")
            await self.put(PRICES, ":".join(MARKET), encoder.encode(envelope))

    @asynccontextmanager
    async def alerts(self, send=targets.send):
        stop = asyncio.Event()
        made = Alerts(self.settings, stop, send, QUICK)
        try:
            await made.open()
            running = asyncio.create_task(made.run())
            try:
                yield made
            finally:
                stop.set()
                await running
        finally:
            await made.close()

    async def records(self, topic) -> list:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(self.name(topic), 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            end = (await consumer.end_offsets([tp]))[tp]
            found = []
            while await consumer.position(tp) < end:
                found += (await consumer.getmany(timeout_ms=200)).get(tp, [])
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as made:
        yield made


async def test_a_crossing_reaches_the_webhook_once_also_over_restarts(world):
    async with Webhook() as webhook:
        await world.write(rule(to=[webhook.url], direction="up"))
        async with world.alerts():
            await world.prices(99, 101, 102)
            (message,) = await webhook.heard(1)
            assert message["title"] == "one: price-crosses"
            assert "the price came up to 101 (level 100)" in message["message"]
        await world.prices(99, 103)  # while nothing runs
        async with world.alerts():
            await webhook.heard(2)
            await world.prices(104)
            await asyncio.sleep(0.3)
        assert len(webhook.messages) == 2
        last = decode_alert_state((await world.records(ALERT_STATES))[-1].value)
        assert (last.crossings, last.waiting) == (2, [])


async def test_a_kill_between_delivery_and_noting_it_delivers_once_more_and_no_more(world):
    async with Webhook() as webhook:
        await world.write(rule(to=[webhook.url], direction="up"))
        made = Alerts(world.settings, asyncio.Event(), targets.send)
        await made.open()
        await world.prices(99, 101)
        while not webhook.messages:
            await made._feed.step()
            await made._settle()
            made._courier.send_due(time.monotonic())
            await made._courier.wait(1)
        await made.close()  # delivered, and nothing was noted
        async with world.alerts():
            await webhook.heard(2)
        async with world.alerts():
            await asyncio.sleep(0.3)
        assert len(webhook.messages) == 2


async def test_a_receiver_that_fails_is_asked_again_and_at_last_there_is_a_dead_letter(world):
    async with Webhook() as webhook:
        webhook.statuses = [500, 500]
        await world.write(rule(to=[webhook.url], direction="up"))
        async with world.alerts() as made:
            await world.prices(99, 101)
            await webhook.heard(1)
            assert len(webhook.requests) == 3
            webhook.statuses = [500] * 3
            await world.prices(99, 101)
            async with asyncio.timeout(10):
                while len(webhook.requests) < 6 or made._machine.waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        (letter,) = [decode_dead_letter(r.value) for r in await world.records(DEAD_LETTERS)]
    assert letter.reason.endswith("refused with 500")
    assert SECRET not in str(letter)


async def test_what_is_wanted_of_the_gateway_is_tested_obeyed_and_shown_without_secrets(world):
    gateways = Gateways(world.settings.kafka_bootstrap, world.settings.kafka_topic_prefix)
    gateways.settings = world.settings
    async with Webhook() as webhook, gateways.gateway() as client, world.alerts():
        await world.prices(99)
        body = {"data_type": "price-crosses", "id": "btc", "symbol": "BTCUSDT", "level": 100}
        answer = await client.post("/api/v1/alerts", json={**body, "to": [webhook.url]})
        assert answer.status_code == 202, answer.text
        tested = await client.post("/api/v1/alerts/btc/test")
        assert tested.json()["ok"] is True
        assert "nothing has crossed" in (await webhook.heard(1))[0]["message"]
        await asyncio.sleep(0.2)
        await world.prices(101)
        assert "came up to 101" in (await webhook.heard(2))[1]["message"]
        listed = await client.get("/api/v1/alerts")
        assert listed.json()["alerts"][0]["to"] == [f"json://127.0.0.1:{webhook.port}/****"]
        assert SECRET not in listed.text + answer.text + tested.text
        await client.delete("/api/v1/alerts/btc")
        assert (await client.get("/api/v1/alerts")).json()["count"] == 0


async def test_the_lag_of_a_group_is_what_it_has_not_committed(world):
    await world.prices(1, 2, 3, 4)
    group = world.settings.kafka_topic_prefix + "fibstream.sink.x"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.settings.kafka_bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    tp = TopicPartition(world.name(PRICES), 0)
    consumer.assign([tp])
    await consumer.commit({tp: 1})
    await consumer.stop()
    found = await gauges.lags(world.settings.kafka_bootstrap, [group[:-1] + "*"])
    assert found == {(group, world.name(PRICES)): 3}


async def test_the_process_says_that_it_is_ready_and_ends_when_told(world, monkeypatch):
    announced = asyncio.Event()
    monkeypatch.setattr(app.ready, "announce", announced.set)
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(world.settings, stop))
    async with asyncio.timeout(10):
        await announced.wait()
        stop.set()
        await running
