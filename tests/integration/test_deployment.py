"""The symbols of docker-compose.kafka.yml trade where their ingestors look for them."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from simulated import simulating

from ingest import rest
from ingest.exchanges import EXCHANGES
from ingest.plan import choose, enabled, instruments
from runtime.settings import Settings

pytestmark = pytest.mark.integration

COMPOSE = Path(__file__).parents[2] / "docker-compose.kafka.yml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
INGESTORS = [name for name, s in SERVICES.items() if s.get("command", [])[1:] == ["ingest"]]


def settings_of(name: str, **changes) -> Settings:
    given = {
        variable.removeprefix("STREAMER_").lower(): re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for variable, value in SERVICES[name]["environment"].items()
    }
    return Settings(_env_file=None, **{**given, **changes})


async def chosen(sim, name: str) -> set[tuple[str, str]]:
    exchange = EXCHANGES[settings_of(name).exchange]
    urls = {
        f"exchange_{channel}_rest_url": sim.url(channel, "rest", exchange=exchange.name)
        for channel in exchange.markets
    }
    settings = settings_of(name, redis_host="", **urls)
    markets = enabled(settings, exchange)
    async with AsyncExitStack() as stack:
        hosts = {
            m.channel: await stack.enter_async_context(rest.open_host(settings, exchange.name, m))
            for m in markets
        }
        listed = {
            m.channel: await instruments(settings, exchange, m, hosts[m.channel].ask)
            for m in markets
        }
        found = await choose(settings, exchange, markets, hosts, listed)
    return {(channel, i.symbol) for channel, symbols in found.items() for i in symbols}


async def test_every_symbol_of_the_deployment_is_streamed_by_one_ingestor():
    wanted: dict[str, set[str]] = {}
    streamed: dict[str, list[tuple[str, str]]] = {}
    async with simulating(exchanges=tuple(EXCHANGES), symbols=12) as (sim, _):
        for name in INGESTORS:
            settings = settings_of(name)
            found = await chosen(sim, name)
            assert found, name
            wanted.setdefault(settings.exchange, set()).update(settings.exchange_symbols)
            streamed.setdefault(settings.exchange, []).extend(found)
    for exchange, found in streamed.items():
        assert len(found) == len(set(found)), exchange
        assert {symbol for _, symbol in found} == wanted[exchange]
        assert {channel for channel, _ in found} == set(EXCHANGES[exchange].markets)
