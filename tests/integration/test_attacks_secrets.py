"""Logs of a gateway and of alerts at debug hold no secret, whatever is shown, right or wrong."""

import asyncio
import json
import time
from contextlib import suppress

import pytest
from alerting import Webhook
from attacked import ADMIN, Attacked, Stage
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.integration

SIGNING = "s1gn1ng-s1gn1ng-s1gn1ng-s1gn1ng!"
USER_KEY = "plain.user-key"
HOOK = "h00k-s3cr3t"
BOT = "123456789:abcdefg_hijklmnop-qrstuvwxyz12345"
PASSWORDS = ("sm7p-p4ssw0rd", "wh-p4ssw0rd", "r3dis-p4ssw0rd")


async def shown(gateway: Attacked, secret: str) -> None:
    """Show a secret in every way there is, and in those there are not."""
    async with gateway.client() as client:
        for headers in (
            {"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}, {"Authorization": secret},
            {"X-API-Key": secret, "X-Auth-User": "admin"}, {"Cookie": f"session={secret}"},
        ):  # fmt: skip
            await client.get("/api/v1/whoami", headers=headers)
            await client.post("/streams", headers=headers, json={"key": secret})
        await client.get("/streams", auth=("admin", secret))
        await client.get("/streams", params={"key": secret, "token": secret})
        await client.post("/api/v1/tokens/refresh", json={"refresh_token": secret})
    port = gateway.port
    for query in (
        f"key={secret}",
        f"key={secret}&user=admin",
        f"token={secret}",
        f"api_key={secret}",
    ):
        with suppress(InvalidStatus, ConnectionClosed):
            async with connect(f"ws://127.0.0.1:{port}/?{query}") as websocket:
                await websocket.send(json.dumps({"action": "auth", "key": secret}))
                await websocket.send("{" + secret)
                await websocket.recv()
    async with connect(f"ws://127.0.0.1:{port}/") as websocket:
        await websocket.send(json.dumps({"action": "auth", "key": secret, "user": "admin"}))
        with suppress(ConnectionClosed):
            await websocket.recv()


@pytest.mark.timeout(240)
async def test_no_log_of_a_whole_run_holds_a_secret_even_at_debug(kafka_bootstrap, tmp_path):
    smtp, warehouse, redis = PASSWORDS
    fields = {
        "log_level": "DEBUG", "gateway_jwt_keys": f"k1:{SIGNING}", "gateway_key": ADMIN,
        "wss_auth_user": "admin", "wss_auth_key": USER_KEY,
        "clickhouse_url": f"http://user:{warehouse}@127.0.0.1:9/market",
        "redis_host": "127.0.0.1", "redis_port": 9, "redis_password": redis,
    }  # fmt: skip
    prefix = f"attack{time.time_ns()}."
    async with Webhook() as webhook:
        with Attacked(kafka_bootstrap, prefix, tmp_path, **fields) as gateway:
            with Stage(gateway.settings, tmp_path, "alerts", "run") as judging:
                secrets = await used(gateway, webhook, smtp)
            told = gateway.log.read_text() + judging.log.read_text()
    assert told.count("\n") > 20
    assert '"level":"debug"' in told
    found = {name for name, secret in secrets.items() if secret in told}
    assert found == set()


async def used(gateway: Attacked, webhook: Webhook, smtp: str) -> dict[str, str]:
    """Use everything that has a secret; return them all."""
    async with gateway.client(ADMIN) as admin:
        made = (await admin.post("/api/v1/keys", json={"name": "x", "role": "operator"})).json()
        pair = (await admin.post("/api/v1/tokens")).json()
        said = {"refresh_token": pair["refresh_token"]}
        new = (await admin.post("/api/v1/tokens/refresh", json=said)).json()
        await admin.post("/api/v1/tokens/refresh", json=said)  # a thief's
        targets = [
            f"json://127.0.0.1:{webhook.port}/{HOOK}", f"tgram://{BOT}/12345",
            f"mailto://user:{smtp}@localhost:9",
        ]  # fmt: skip
        rule = {"data_type": "disk-free", "id": "disk", "path": "/", "below_gib": 10**9}
        answer = await admin.post("/api/v1/alerts", json={**rule, "to": targets})
        assert answer.status_code == 202, answer.text
        await admin.post("/api/v1/alerts", json={**rule, "to": [f"wrong//{HOOK}"]})
        await admin.post("/api/v1/alerts/disk/test")
        await webhook.heard(2, within_s=60)  # the test, and the crossing
        await admin.get("/health/db")
        await admin.get("/health/redis")
    for secret in (USER_KEY, made["key"], pair["access_token"], SIGNING, ADMIN + "x"):
        await shown(gateway, secret)
    await asyncio.sleep(1)
    access, refresh = pair["access_token"], pair["refresh_token"]
    warehouse, redis = PASSWORDS[1:]
    return {
        "admin key": ADMIN.split("_", 2)[2], "made key": made["key"].split("_", 2)[2],
        "access token": access.rsplit(".", 1)[1], "refresh token": refresh.rsplit(".", 1)[1],
        "new token": new["refresh_token"].rsplit(".", 1)[1], "signing key": SIGNING,
        "user key": USER_KEY, "webhook": HOOK, "bot": BOT.split(":")[1], "mail": smtp,
        "warehouse": warehouse, "redis": redis,
    }  # fmt: skip
