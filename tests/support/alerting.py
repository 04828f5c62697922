"""Rules, prices and candles for tests of alerts, and a webhook that receives."""

import asyncio
import json
from decimal import Decimal

from schemas.alerts import KINDS
from schemas.klines import Kline, Price

MARKET = ("binance", "linear", "BTCUSDT")
SUBJECT = ":".join(MARKET)
SECRET = "s3cr3t-t0k3n"  # noqa: S105 - of nothing

FIELDS = {
    "price-crosses": {"symbol": "BTCUSDT", "level": Decimal(100), "rearm_percent": Decimal(1)},
    "price-moves": {"symbol": "BTCUSDT", "percent": Decimal(5), "within_s": 60},
    "volume-spike": {"symbol": "*", "interval": "1m", "times": Decimal(3), "candles": 3},
    "gap-open": {"longer_s": 60},
    "stream-silent": {"longer_s": 60},
    "consumer-lag": {"group": "fibstream.*", "above": 100},
    "disk-free": {"path": "/", "below_gib": Decimal(10)},
}


def rule(kind="price-crosses", **changes):
    fields = {"id": "one", "to": [f"json://127.0.0.1/{SECRET}"], "cooldown_s": 0}
    return KINDS[kind](**{**fields, **FIELDS[kind], **changes})


def price(value, rev, ts=None, symbol="BTCUSDT"):
    return Price(symbol, Decimal(str(value)), rev * 1_000 if ts is None else ts, rev)


def candle(minute, volume, rev=None, interval=60_000, closed=True):
    one = Decimal(1)
    return Kline(
        symbol="BTCUSDT", interval=interval, timestamp=minute * 60_000, open=one, high=one,
        low=one, close=one, volume=Decimal(volume), quote_volume=one, taker_buy_volume=one,
        taker_buy_quote_volume=one, trade_count=1, first_id=1, last_id=1, closed=closed,
        rev=minute if rev is None else rev, cause="live", quality="proven", missing=0,
    )  # fmt: skip


def fired(machine):
    """Return what was ever told: rule, subject and number of every crossing."""
    return sum(state.crossings for state in machine.states.values())


def texts(machine):
    return [c.text for state in machine.states.values() for c in state.waiting]


class Webhook:
    """A real receiver on loopback; ``statuses`` are its next answers, then 200."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.requests: list[str] = []
        self.statuses: list[int] = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    async def _serve(self, reader, writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length")
        )
        body = await reader.readexactly(length)
        status = self.statuses.pop(0) if self.statuses else 200
        self.requests.append(head.splitlines()[0])
        if status == 200:
            self.messages.append(json.loads(body))
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    async def heard(self, many: int, within_s: float = 10.0) -> list[dict]:
        async with asyncio.timeout(within_s):
            while len(self.messages) < many:  # noqa: ASYNC110 - requests are no event
                await asyncio.sleep(0.02)
        return self.messages
