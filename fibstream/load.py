"""History into a DataFrame: candles of any interval, or trades, from a gateway or from a folder.

``load("BTCUSDT", "173m", start="2026-01-01")`` gives exact Decimals; ``numbers="float"`` gives what
numpy likes. A folder is that of the embedded ClickHouse, whose sink must not run at the time.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
import pyarrow as pa

from runtime.errors import Misconfigured, Retriable
from schemas.clickhouse import any_interval, rows
from schemas.clickhouse.pieces import Query, Series
from schemas.intervals import BadInterval, Interval, parse_interval

PAGE_ROWS = 200_000
TIMEOUT_S = 60.0
DATABASE = "market"
TIME_MS_MAX = 10_413_792_000_000 - 1
URL_DEFAULT = "http://127.0.0.1:9500"
KEY = "FIBSTREAM_API_KEY"
"""In the environment: what is shown to the gateway. No option, for others see a process's words."""

Moment = str | int | date | datetime | None
Frame = Literal["polars", "pandas", "arrow"]
Numbers = Literal["decimal", "float"]


class Asked(NamedTuple):
    """What to load; no interval: trades."""

    series: Series
    interval: Interval | None
    start_ms: int | None
    end_ms: int | None
    columns: tuple[str, ...] = ()
    """Of candles: only these; none: all."""

    @classmethod
    def of(
        cls,
        symbol: str,
        timeframe: str | int | None,
        *,
        exchange: str = "binance",
        channel: str = "linear",
        start: Moment = None,
        end: Moment = None,
        columns: Sequence[str] = (),
    ) -> "Asked":
        """Return what the words mean; raise Misconfigured where they mean nothing."""
        series = Series(exchange, channel, symbol)
        interval = _interval(timeframe)
        of: Sequence[str] = rows.TRADE_COLUMNS if interval is None else any_interval.COLUMNS
        for name in columns:
            if name not in of:
                raise Misconfigured("columns", f"there is no {name!r}", remedy=f"{', '.join(of)}.")
        return cls(series, interval, _ms("start", start), _ms("end", end), tuple(columns))


def load(
    symbol: str,
    timeframe: str | int | None = "1m",
    *,
    exchange: str = "binance",
    channel: str = "linear",
    start: Moment = None,
    end: Moment = None,
    columns: Sequence[str] = (),
    url: str | None = None,
    key: str | None = None,
    data_dir: Path | str | None = None,
    frame: Frame = "polars",
    numbers: Numbers = "decimal",
) -> Any:
    """Return candles that open in ``[start, end)``, or trades (``timeframe=None``), oldest first.

    ``url`` is a gateway's and ``key`` an API key or token for it (``FIBSTREAM_API_KEY`` in the
    environment where it is not said); ``data_dir`` instead reads the embedded ClickHouse there.
    ``frame`` says what comes back: a polars or pandas DataFrame, or a pyarrow Table. The fewer
    ``columns``, the sooner: six of a month of minutes come in half the time of all.
    """
    asked = Asked.of(
        symbol, timeframe, exchange=exchange, channel=channel, start=start, end=end, columns=columns
    )
    pages = tables(asked, url=url, key=key, data_dir=data_dir, numbers=numbers)
    table = pa.concat_tables(pages)
    if frame == "arrow":
        return table
    if frame == "pandas":
        return table.to_pandas()
    import polars as pl

    return pl.from_arrow(table)


def tables(
    asked: Asked,
    *,
    url: str | None = None,
    key: str | None = None,
    data_dir: Path | str | None = None,
    numbers: Numbers = "decimal",
) -> Iterator[pa.Table]:
    """Yield what is asked for in tables of bounded size, at least one; raise Misconfigured."""
    if url is not None and data_dir is not None:
        raise Misconfigured("--url", "and --data-dir both say where to read", remedy="Give one.")
    floats = numbers == "float"
    pages = (
        _remote(asked, url or URL_DEFAULT, key or os.environ.get(KEY), floats)
        if data_dir is None
        else _embedded(asked, data_dir, floats)
    )
    for page in pages:
        yield _typed(page.select(asked.columns) if asked.columns else page, numbers)


def _remote(asked: Asked, url: str, key: str | None, floats: bool) -> Iterator[pa.Table]:
    exchange, channel, symbol = asked.series
    kind = "trades" if asked.interval is None else "klines"
    said: dict[str, str | int] = {"exchange": exchange, "channel": channel, "format": "arrow"}
    said |= {"limit": PAGE_ROWS, "start": asked.start_ms or 0}
    said |= {} if asked.interval is None else {"timeframe": asked.interval.text}
    if asked.interval is not None:
        said |= {"columns": ",".join(asked.columns)} if asked.columns else {}
        said |= {"numbers": "float"} if floats else {}
    said |= {} if asked.end_ms is None else {"end": asked.end_ms}
    shown = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, headers=shown) as client:
        rows_left = True
        while rows_left:
            answer = _answer(client, f"/api/v1/data/{kind}/{symbol}", said)
            page = pa.ipc.open_stream(answer.content).read_all()
            yield page
            said["cursor"] = answer.headers.get("x-next-cursor", "")
            rows_left = len(page) >= PAGE_ROWS and bool(said["cursor"])


def _answer(client: httpx.Client, path: str, said: dict[str, str | int]) -> httpx.Response:
    try:
        answer = client.get(path, params=said)
    except httpx.TransportError as e:
        raise Retriable(f"no gateway at {client.base_url}: {e}", retry_after_s=1.0) from e
    if answer.is_success:
        return answer
    try:
        reason = str(answer.json()["detail"]["reason"])
    except (ValueError, KeyError, TypeError):
        reason = answer.text[:200]
    if answer.status_code in (401, 403):
        remedy = "Set it to a key of that gateway: `fibstream keys create` there makes one."
        raise Misconfigured(KEY, f"the gateway refuses: {reason}", remedy=remedy)
    if answer.status_code in (429, 503):
        raise Retriable(reason, retry_after_s=float(answer.headers.get("retry-after", 1)))
    raise Misconfigured("the question", reason, remedy="Correct it and ask again.")


def _embedded(asked: Asked, data_dir: Path | str, floats: bool) -> Iterator[pa.Table]:
    import chdb

    path = Path(data_dir) / "clickhouse"
    if not path.is_dir():
        raise Misconfigured("--data-dir", f"there is no {path}", remedy="Name the data folder.")
    try:
        session = chdb.connect(str(path))
    except RuntimeError as e:
        remedy = "Stop the sink that uses it, or read from the gateway by its URL."
        raise Misconfigured("--data-dir", f"chDB cannot open {path}: {e}", remedy=remedy) from e

    def ask(query: Query) -> pa.Table:
        result = session.query(query.sql, "ArrowStream", params=query.parameters)
        return pa.ipc.open_stream(result.bytes()).read_all()

    with session:
        for setting in (f"USE {DATABASE}", "SET output_format_arrow_string_as_string = 1"):
            session.query(setting)
        if asked.interval is None:
            yield from _trade_pages(asked, ask)
        else:
            yield from _candle_pages(asked, asked.interval, ask, floats)


def _candle_pages(asked: Asked, interval: Interval, ask: Any, floats: bool) -> Iterator[pa.Table]:
    there = ask(any_interval.coverage(asked.series, interval, asked.start_ms or 0))
    held = any_interval.Coverage(*(int(column[0].as_py()) for column in there.columns))
    start_ms, end_ms = asked.start_ms or 0, asked.end_ms or TIME_MS_MAX
    columns = (
        dict.fromkeys(("timestamp", *asked.columns)) if asked.columns else any_interval.COLUMNS
    )
    while True:
        query = any_interval.candles(asked.series, interval, start_ms, end_ms, PAGE_ROWS, held)
        page = ask(any_interval.picked(query, tuple(columns), floats=floats))
        yield page
        if len(page) < PAGE_ROWS:
            return
        start_ms = page["timestamp"][-1].as_py() + 1


def _trade_pages(asked: Asked, ask: Any) -> Iterator[pa.Table]:
    wanted = rows.TradesAsked(asked.series, asked.start_ms, asked.end_ms, PAGE_ROWS, newest=False)
    while True:
        page = ask(rows.trade_table(rows.trades(wanted)))
        yield page
        if len(page) < PAGE_ROWS:
            return
        last = (page[name][-1].as_py() for name in ("timestamp", "id", "uid"))
        wanted = wanted._replace(after=rows.Place(*last))


def _typed(page: pa.Table, numbers: Numbers) -> pa.Table:
    """Return the page with times as times, names as text, and numbers as they are wanted."""
    for at, field in enumerate(page.schema):
        kind = field.type
        if field.name == "timestamp":
            kind = pa.timestamp("ms", "UTC")
        elif pa.types.is_dictionary(kind) or pa.types.is_large_string(kind):
            kind = pa.string()
        elif numbers == "float" and pa.types.is_decimal(kind):
            kind = pa.float64()
        if kind != field.type:
            page = page.set_column(at, field.name, page[field.name].cast(kind))
    return page


def _interval(timeframe: str | int | None) -> Interval | None:
    if timeframe is None:
        return None
    text = str(timeframe)
    try:
        return parse_interval(f"{text}m" if text.isdigit() else text)
    except BadInterval as e:
        raise Misconfigured("--timeframe", str(e), remedy="Example: 173m, 1w@mon, 1D") from e


def _ms(name: str, moment: Moment) -> int | None:
    """Return a moment in ms since 1970; where no offset is said it is UTC."""
    if moment is None or isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        if moment.isdigit():
            return int(moment)
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError as e:
            remedy = "Write 2026-01-31, 2026-01-31T12:00:00Z, or ms since 1970."
            raise Misconfigured(f"--{name}", f"{moment!r} is no time", remedy=remedy) from e
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)
