"""A gateway as a process of its own, with keys, asked and attacked from outside."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import httpx
import msgspec
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.ports import free_port
from runtime.settings import Settings
from schemas.keys import AuditEntry
from schemas.topics import AUDIT, KLINES, KLINES_LIVE
from sinks import topics
from sinks.gateway.security.keys import generate, hash_text

HOST = "127.0.0.1"
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 30.0
CLIENT = '"logger":"aiokafka.'
LOUD = ('"level":"error"', '"level":"critical"', "Traceback")

_, ADMIN = generate()


class Answer(NamedTuple):
    """What stood on the wire; status 0: nothing."""

    status: int
    head: str
    body: bytes


class Stage:
    """A stage of fibstream in a process of its own, from nothing but settings."""

    def __init__(self, settings: Settings, folder: Path, *words: str) -> None:
        self.log = folder / f"{'-'.join(words)}.log"
        env = {k: v for k, v in os.environ.items() if not k.startswith("STREAMER_")}
        # Whoever writes the target of an alert reaches nothing but this machine.
        env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
        env |= {"NO_PROXY": "127.0.0.1,localhost", **settings.environment()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fibstream", *words],
                cwd=folder,
                env=env,
                stderr=log,
                stdout=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_WITHIN_S)
        finally:
            self.process.kill()
        if kind is None:
            assert code == 0, self.log.read_text()[-2_000:]


class Attacked:
    """``with Attacked(...) as gateway``: ready inside, ended well and quietly after."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, **fields: object) -> None:
        self.port = free_port()
        self._folder = folder
        own = {"gateway_admin_key_hash": hash_text(ADMIN), "gateway_requests_per_ip_s": 100_000}
        own |= {"gateway_requests_per_key_s": 100_000, "gateway_connections_per_ip_max": 5_000}
        self.settings = Settings(
            _env_file=None,
            kafka_bootstrap=bootstrap,
            kafka_topic_prefix=prefix,
            kafka_partitions=1,
            websocket_port=self.port,
            **{**own, **fields},
        )

    def __enter__(self) -> Self:
        with ThreadPoolExecutor(1) as outside:  # a loop may run here
            making = topics.ensure(self.settings, (KLINES, KLINES_LIVE))
            outside.submit(asyncio.run, making).result()
        self._stage = Stage(self.settings, self._folder, "gateway")
        self.log, self.process = self._stage.log, self._stage.process
        self._wait()
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._stage.__exit__(kind, *rest)
        if kind is None:
            self.assert_quiet()

    def assert_quiet(self) -> None:
        """Attacks are no errors: nothing of them needs anybody to act."""
        # What a client of Kafka says of topics that were made a moment ago is not ours.
        told = [line for line in self.log.read_text().splitlines() if CLIENT not in line]
        loud = {line.partition('"timestamp"')[0] for line in told if any(w in line for w in LOUD)}
        assert loud == set(), loud

    def assert_serves(self) -> None:
        """An honest client is answered."""
        assert self.process.poll() is None, self.log.read_text()[-2_000:]
        assert httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def client(self, key: str | None = None, **headers: str) -> httpx.AsyncClient:
        shown = {"X-API-Key": key} if key else {}
        return httpx.AsyncClient(base_url=self.url, headers={**shown, **headers}, timeout=20)

    def websocket(self, query: str = f"stats=false&key={ADMIN}") -> str:
        return f"ws://{HOST}:{self.port}/?{query}"

    def connect(self, source: str = HOST) -> socket.socket:
        return socket.create_connection((HOST, self.port), 10, source_address=(source, 0))

    def raw(self, said: bytes, source: str = HOST, within_s: float = 10.0) -> Answer:
        """Say bytes as they are; return what comes until the end."""
        with self.connect(source) as sock:
            sock.settimeout(within_s)
            got = bytearray()
            try:
                sock.sendall(said)
                while chunk := sock.recv(1 << 16):
                    got += chunk
            except (TimeoutError, ConnectionError):
                pass
        head, _, body = bytes(got).partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        return Answer(status, head.decode("latin-1"), body)

    def ask(self, target: str | bytes, *lines: str, method: str = "GET", **how: object) -> Answer:
        """Ask for a target that no client would send."""
        target = target.encode() if isinstance(target, str) else target
        head = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: 127.0.0.1"]
        head += [line.encode() for line in lines] + [b"Connection: close", b"", b""]
        return self.raw(b"\r\n".join(head), **how)

    @property
    def rss_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    @property
    def sockets(self) -> int:
        return len(psutil.Process(self.process.pid).net_connections())

    async def audited(self, at_least: int = 0) -> list[AuditEntry]:
        """Return the audit, once it has so many entries."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(self.settings.kafka_topic_prefix + AUDIT.name, 0)
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            found: list[AuditEntry] = []
            end_s = time.monotonic() + 10
            while len(found) < at_least and time.monotonic() < end_s:
                batch = await consumer.getmany(timeout_ms=200)
                found += [msgspec.json.decode(m.value, type=AuditEntry) for m in batch.get(tp, [])]
            return found
        finally:
            await consumer.stop()

    def _wait(self) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end_s and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(self.log.read_text()[-4_000:])
