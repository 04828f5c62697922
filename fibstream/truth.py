"""The exchange's truth, asked from the simulator, and the candles it implies.

The fold here is the plain one - sort, group, sum, in exact decimals - and shares no code with the
engine it judges.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Any, NamedTuple, cast

import httpx

from ingest.exchanges import EXCHANGES
from schemas.intervals import FUNDING, WEEK_MS, Interval
from schemas.trades import Channel, IdRule

PAGE_ROWS = 100_000


class TruthTrade(NamedTuple):
    """One trade as the exchange made it; ``sent_ns`` 0 means nobody was listening.

    Where ids only tell trades apart, ``first`` and ``last`` are the id: a row is one trade.
    """

    id: int
    ts: int
    price: Decimal
    qty: Decimal
    side: int
    first: int
    last: int
    uid: str
    sent_ns: int

    @property
    def key(self) -> tuple[int, str]:
        """What no other trade of the symbol has."""
        return self.id, self.uid


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


Series = tuple[str, str, str]  # exchange, channel, symbol
Query = dict[str, str | int]


class Truth:
    """A client of the simulator's own endpoints."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._url = f"http://127.0.0.1:{port}/sim"

    async def state(self, exchange: str = "") -> dict[str, Any]:
        """Return the simulator's facts and its counters of one exchange (the first) by channel."""
        return dict((await self._get("state", {"exchange": exchange})).json())

    async def exchanges(self) -> list[str]:
        """Return the exchanges that are simulated."""
        return list((await self.state())["exchanges"])

    async def delivered(self) -> dict[tuple[str, str], int]:
        """Return by exchange and channel how many trades reached a socket."""
        return {
            (exchange, channel): count
            for exchange in await self.exchanges()
            for channel, count in (await self.state(exchange))["delivered"].items()
        }

    async def stop(self) -> None:
        """Let no more trades happen; the sockets stay up."""
        (await self._client.post(f"{self._url}/stop")).raise_for_status()

    async def series(self) -> list[Series]:
        """Return every exchange, channel and symbol that trades."""
        return [
            (exchange, channel, symbol)
            for exchange in await self.exchanges()
            for channel, symbols in (await self.state(exchange))["markets"].items()
            for symbol in symbols
        ]

    async def trades(self, series: Series) -> list[TruthTrade]:
        """Return every trade of a symbol that the simulator remembers, as it made them."""
        rows: list[TruthTrade] = []
        query = query_of(series) | {"limit": PAGE_ROWS}
        from_row = 0  # its own number: ids of some venues have no order
        while True:
            page = (await self._get("trades", query | {"from_row": from_row})).json()
            rows += _trades(page, has_spans=rule_of(series) != "unique")
            if len(page["id"]) < PAGE_ROWS:
                return rows
            from_row = page["row"][-1] + 1

    async def candles(
        self, series: Series, interval: Interval, from_ms: int, to_ms: int
    ) -> dict[int, TruthCandle]:
        """Return the simulator's own candles by open time; none of windows that it has not."""
        if interval.anchor not in ("", FUNDING) or interval.length_ms == WEEK_MS:
            return {}
        query = query_of(series) | {"interval_ms": interval.length_ms}
        rows = (await self._get("klines", query | {"from_ms": from_ms, "to_ms": to_ms})).json()
        return {
            row["timestamp"]: TruthCandle.read([str(row[name]) for name in TruthCandle._fields])
            for row in rows
        }

    async def _get(self, path: str, query: Query) -> httpx.Response:
        response = await self._client.get(f"{self._url}/{path}", params=query)
        return response.raise_for_status()


def rule_of(series: Series) -> IdRule:
    """Return what the ids of a symbol prove."""
    exchange, channel, _ = series
    return EXCHANGES[exchange].markets[cast("Channel", channel)].ids


def query_of(series: Series) -> Query:
    """Return the parameters that name a symbol to the simulator."""
    exchange, channel, symbol = series
    return {"exchange": exchange, "market": channel, "symbol": symbol}


def _trades(page: dict[str, list[Any]], *, has_spans: bool) -> Iterator[TruthTrade]:
    for id_, ts, price, qty, side, first, last, *rest in zip(
        *(page[name] for name in TruthTrade._fields), strict=True
    ):
        span = (first, last) if has_spans else (id_, id_)
        yield TruthTrade(id_, ts, Decimal(price), Decimal(qty), side, *span, *rest)


def candles_of(
    trades: Iterable[TruthTrade], interval: Interval, *, by_arrival: bool = False
) -> dict[int, TruthCandle]:
    """Return the candles of a set of trades by open time.

    ``by_arrival``: inside one millisecond they happened in the order given, else in that of ids.
    """
    ordered = sorted(trades, key=lambda t: (t.ts, 0 if by_arrival else t.id))
    with localcontext() as context:
        context.prec = 60  # exact: no sum of a day comes near it
        return {
            open_ms: _candle(list(rows))
            for open_ms, rows in groupby(ordered, key=lambda t: interval.open_ms(t.ts))
        }


def flat_candle(close: Decimal) -> TruthCandle:
    """Return what the candle of a window without a trade must be, after one that closed so."""
    zero = Decimal(0)
    return TruthCandle(*(close,) * 4, *(zero,) * 4, trade_count=0, first_id=0, last_id=0)


def opened_at_close(candles: Mapping[int, TruthCandle]) -> dict[int, TruthCandle]:
    """Return candles that begin at the close before them, which high and low include."""
    found: dict[int, TruthCandle] = {}
    close: Decimal | None = None
    for open_ms, candle in sorted(candles.items()):
        found[open_ms] = candle
        if close is not None:
            found[open_ms] = candle._replace(
                open=close, high=max(candle.high, close), low=min(candle.low, close)
            )
        close = candle.close
    return found


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
