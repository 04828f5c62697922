"""What the warehouse holds at the end against what was traded: trades, and every closed candle."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import clickhouse_connect
import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client

from fibstream.bench.history_gaps import Hole
from fibstream.bench.history_truth import EXCHANGE, Candles, Mask, Series, Trades, fold
from schemas.intervals import DAY_MS, MINUTE_MS
from schemas.trades import Channel
from sinks.clickhouse.store import EMBEDDED_DATABASE

INTERVALS: Mapping[str, int] = {"1m": MINUTE_MS, "173m": 173 * MINUTE_MS, "1D": DAY_MS}
TOLD_MAX = 20  # of what is wrong
_PRICES = ("open", "high", "low", "close")
_SUMS = {"volume": "v", "quote_volume": "q", "taker_buy_volume": "v", "taker_buy_quote_volume": "q"}

Lost = Mapping[tuple[Channel, str], Mask]


class Stored(NamedTuple):
    """The candles of a series and interval that the warehouse holds."""

    candles: Candles
    quality: Sequence[str]
    missing: npt.NDArray[np.int64]


@dataclass(slots=True)
class Verdict:
    """``wrong`` and ``absent`` are candles; ``lost`` and ``doubled`` are trades."""

    trades: int = 0
    lost: int = 0
    doubled: int = 0
    unlike: int = 0
    """Series whose trades sum up to something else."""
    candles: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    absent: int = 0
    too_many: int = 0
    unproven: int = 0
    """Candles that do not say what is missing in them, or say it and nothing is."""
    told: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Say whether everything equals the truth."""
        bad = self.lost, self.doubled, self.unlike, self.wrong, self.absent, self.too_many
        return not any(bad) and not self.unproven

    def report(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def tell(self, what: str) -> None:
        """Note one thing that is wrong, as far as there is room."""
        if len(self.told) < TOLD_MAX:
            self.told.append(what)


class Judge:
    """Asks the SQL endpoint of the sink; every call is a look of its own."""

    def __init__(
        self, port: int, every: Sequence[Series], lost: Lost, holes: Sequence[Hole]
    ) -> None:
        self._port = port
        self._every = every
        self._lost = lost
        self._holes = holes

    def missing(self) -> int:
        """Return how many trades are not there yet, of those that may come."""
        with self._client() as client:
            rows = client.query(
                "SELECT toString(channel), toString(symbol), groupBitmap(toUInt64(id)) FROM trades "
                "GROUP BY channel, symbol"
            ).result_rows
        there = {(channel, symbol): count for channel, symbol, count in rows}
        return sum(int((~self._lost[s.name]).sum()) - there.get(s.name, 0) for s in self._every)

    def healed(self) -> list[Hole]:
        """Return the holes of which every trade is there."""
        sql = (
            "SELECT uniqExact(id) FROM trades WHERE exchange = {exchange:String} "
            "AND channel = {channel:String} AND symbol = {symbol:String} "
            "AND id BETWEEN {first:Int64} AND {last:Int64}"
        )
        with self._client() as client:
            return [
                hole
                for hole in self._holes
                if client.query(
                    sql,
                    parameters=_named(hole.series)
                    | dict(zip(("first", "last"), hole.ids, strict=True)),
                ).result_rows[0][0]
                == hole.high - hole.low
            ]

    def verdict(self) -> Verdict:
        """Compare everything."""
        found = Verdict()
        with self._client() as client:
            for series in self._every:
                there = ~self._lost[series.name]
                _judge_trades(client, series, series.trades.where(there), found)
                for name, length_ms in INTERVALS.items():
                    stored = _stored(client, series, length_ms)
                    _judge(series, there, name, length_ms, stored, found)
        return found

    def _client(self) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self._port, database=EMBEDDED_DATABASE
        )


def _named(series: Series) -> dict[str, Any]:
    return {"exchange": EXCHANGE, "channel": series.channel, "symbol": series.symbol}


def _judge_trades(client: Client, series: Series, truth: Trades, found: Verdict) -> None:
    price, qty = (f"toInt128({n} * {10**s})" for n, s in _scales(series))
    ((count, different, *sums),) = client.query(
        f"SELECT count(), uniqExact(id), sum({price} * {qty} * (id % 1009)), "  # noqa: S608
        "sum(toUnixTimestamp64Milli(ts) * toInt128(side)), sum(toInt128(last_id) - first_id) "
        "FROM trades_unique WHERE exchange = {exchange:String} "
        "AND channel = {channel:String} AND symbol = {symbol:String}",
        parameters=_named(series),
    ).result_rows
    found.trades += count
    found.lost += max(0, len(truth.id) - different)
    found.doubled += count - different
    weighed = (truth.price * truth.qty).astype(object) * (truth.id % 1009)
    wanted = [weighed.sum(), (truth.ts * truth.side).sum(), (truth.last - truth.first).sum()]
    if [int(each) for each in sums] != [int(each) for each in wanted]:
        found.unlike += 1
        found.tell(f"{series.channel} {series.symbol}: trades sum up to {sums}, not {wanted}")


def _scales(series: Series) -> tuple[tuple[str, int], ...]:
    return ("price", series.price_scale), ("qty", series.qty_scale)


def _stored(client: Client, series: Series, length_ms: int) -> Stored:
    """Return the latest revision of each closed candle, in integers of the symbol's scales."""
    price, qty = series.price_scale, series.qty_scale
    scale = {"v": qty, "q": price + qty}
    columns = [f"toInt64({name} * {10**price})" for name in _PRICES]
    columns += [f"toInt64({name} * {10 ** scale[of]})" for name, of in _SUMS.items()]
    text = (
        f"SELECT toUnixTimestamp64Milli(open_time), {', '.join(columns)}, trade_count, first_id, "  # noqa: S608
        "last_id, toString(quality), missing FROM candles WHERE exchange = {exchange:String} "
        "AND channel = {channel:String} AND symbol = {symbol:String} AND closed "
        "AND interval_ms = {length_ms:Int64} AND anchor = '' ORDER BY open_time"
    )
    result = client.query(
        text, parameters=_named(series) | {"length_ms": length_ms}, column_oriented=True
    ).result_set
    empty = np.zeros(0, np.int64)
    if not result:
        return Stored(Candles(*[empty] * len(Candles._fields)), (), empty)
    *numbers, quality, missing = result
    candles = Candles(*(np.array(column, np.int64) for column in numbers))
    return Stored(candles, quality, np.array(missing, np.int64))


def _judge(
    series: Series, there: Mask, name: str, length_ms: int, stored: Stored, found: Verdict
) -> None:
    heard = series.trades.where(there)
    truth = fold(heard, length_ms)
    over = truth.open_ms + length_ms <= heard.ts[-1]  # the newest one is open
    truth = Candles(*(column[over] for column in truth))
    candles, quality, missing = stored
    _, wanted, had = np.intersect1d(truth.open_ms, candles.open_ms, return_indices=True)
    differs = np.zeros(len(wanted), np.bool_)
    for ours, theirs in zip(candles, truth, strict=True):
        differs |= ours[had] != theirs[wanted]
    lacking = _lacking(series, there, truth.open_ms, length_ms)[wanted]
    is_gap = np.array([each == "gap" for each in quality], np.bool_)[had]
    begins = truth.open_ms[wanted] <= heard.ts[0]  # what was before is not known
    misjudged = (is_gap != ((lacking > 0) | begins)) | (missing[had] != lacking)
    found.candles[name] = found.candles.get(name, 0) + len(truth.open_ms)
    found.wrong += int(differs.sum())
    found.absent += len(truth.open_ms) - len(wanted)
    last_ms = int(truth.open_ms[-1]) if len(truth.open_ms) else 0
    found.too_many += int((candles.open_ms <= last_ms).sum()) - len(had)
    found.unproven += int(misjudged.sum())
    for at in np.flatnonzero(differs | misjudged)[:2].tolist():
        pairs = zip(Candles._fields, candles, truth, strict=True)
        both = {field: (int(o[had[at]]), int(t[wanted[at]])) for field, o, t in pairs}
        unlike = {field: pair for field, pair in both.items() if len(set(pair)) > 1}
        proof = f"{quality[had[at]]} {missing[had[at]]}, lacks {lacking[at]}"
        where = f"{series.channel} {series.symbol} {name} {both['open_ms'][0]}"
        found.tell(f"{where}: {unlike}, {proof}")


def _lacking(
    series: Series, there: Mask, opens: npt.NDArray[np.int64], length_ms: int
) -> npt.NDArray[np.int64]:
    """Return how many ids may be missing in each window: by the times of the trades around them."""
    lacking = np.zeros(len(opens), np.int64)
    for low, high in _runs(~there):
        ts = series.trades.ts
        touched = (opens <= ts[high]) & (opens + length_ms > ts[low - 1])
        lacking[touched] += high - low
    return lacking


def _runs(gone: Mask) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(gone.astype(np.int8), prepend=0, append=0)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def verified(told: bytes, lost: Lost, every: Sequence[Series]) -> list[str]:
    """Return what ``fibstream verify --json`` said otherwise than it is."""
    report = json.loads(told.decode().splitlines()[-1])
    rows = {(row["channel"], row["symbol"]): row for row in report["rows"]}
    bad = [] if report["ok"] else ["verify: not ok"]
    for series in every:
        ids = series.trades.id
        runs = [(int(ids[low]), int(ids[high - 1])) for low, high in _runs(lost[series.name])]
        row = rows.get(series.name)
        named = [(gap["first_id"], gap["last_id"]) for gap in row["given_up"]] if row else None
        if named != runs or row is None or row["unrecoverable"] != int(lost[series.name].sum()):
            bad.append(f"verify: {series.channel} {series.symbol} names {named}, not {runs}")
    return bad
