"""The exchange's truth, asked from the simulator, and the candles it implies.

The fold here is the plain one - sort, group, sum, in exact decimals - and shares no code with the
engine it judges.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Any, NamedTuple

import httpx

PAGE_ROWS = 100_000


class TruthTrade(NamedTuple):
    """One trade as the exchange made it; ``sent_ns`` 0 means nobody was listening."""

    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int
    first: int
    last: int
    sent_ns: int


class TruthCandle(NamedTuple):
    """What a candle must say; the names are those of ``schemas.klines.Kline``."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
    trade_count: int
    first_id: int
    last_id: int

    @classmethod
    def read(cls, texts: Sequence[str]) -> "TruthCandle":
        """Return the candle whose fields these texts are, in order."""
        decimals: list[Any] = [Decimal(text) for text in texts[:8]]
        return cls(*decimals, *map(int, texts[8:]))


Series = tuple[str, str]  # channel, symbol
Query = dict[str, str | int]


class Truth:
    """A client of the simulator's own endpoints."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}/sim"

    async def state(self) -> dict[str, dict[str, int]]:
        """Return the simulator's counters."""
        return dict((await self._get("state", {})).json())

    async def stop(self) -> None:
        """Let no more trades happen; the sockets stay up."""
        (await self._client.post(f"{self._url}/stop")).raise_for_status()

    async def series(self) -> list[Series]:
        """Return every channel and symbol that trades."""
        markets = (await self._get("state", {})).json()["markets"]
        return [(channel, symbol) for channel, names in markets.items() for symbol in names]

    async def trades(self, series: Series) -> list[TruthTrade]:
        """Return every trade of a symbol that the simulator remembers, by id."""
        rows: list[TruthTrade] = []
        while True:
            from_id = rows[-1].id + 1 if rows else 0
            query: Query = {"market": series[0], "symbol": series[1], "limit": PAGE_ROWS}
            page = (await self._get("trades", query | {"from_id": from_id})).json()
            rows += [
                TruthTrade(id_, ts, Decimal(price), Decimal(qty), *rest)
                for id_, ts, price, qty, *rest in zip(
                    *(page[name] for name in TruthTrade._fields), strict=True
                )
            ]
            if len(page["id"]) < PAGE_ROWS:
                return rows

    async def candles(
        self, series: Series, interval_ms: int, from_ms: int, to_ms: int
    ) -> dict[int, TruthCandle]:
        """Return the simulator's own candles by open time."""
        query: Query = {"market": series[0], "symbol": series[1], "interval_ms": interval_ms}
        rows = (await self._get("klines", query | {"from_ms": from_ms, "to_ms": to_ms})).json()
        return {
            row["timestamp"]: TruthCandle.read([str(row[name]) for name in TruthCandle._fields])
            for row in rows
        }

    async def _get(self, path: str, query: Query) -> httpx.Response:
        response = await self._client.get(f"{self._url}/{path}", params=query)
        return response.raise_for_status()


def candles_of(trades: Iterable[TruthTrade], interval_ms: int) -> dict[int, TruthCandle]:
    """Return the candles of a set of trades by open time."""
    ordered = sorted(trades, key=lambda t: (t.ts, t.id))
    with localcontext() as context:
        context.prec = 60  # exact: no sum of a day comes near it
        return {
            open_ms: _candle(list(rows))
            for open_ms, rows in groupby(ordered, key=lambda t: t.ts - t.ts % interval_ms)
        }


def _candle(rows: list[TruthTrade]) -> TruthCandle:
    buys = [t for t in rows if t.side > 0]
    zero = Decimal(0)
    return TruthCandle(
        open=rows[0].price,
        high=max(t.price for t in rows),
        low=min(t.price for t in rows),
        close=rows[-1].price,
        volume=sum((t.qty for t in rows), zero),
        quote_volume=sum((t.price * t.qty for t in rows), zero),
        taker_buy_volume=sum((t.qty for t in buys), zero),
        taker_buy_quote_volume=sum((t.price * t.qty for t in buys), zero),
        trade_count=sum(t.last - t.first + 1 for t in rows),
        first_id=rows[0].id,
        last_id=rows[-1].id,
    )
