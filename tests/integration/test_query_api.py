"""The query API over HTTP: the gateway's own application before the sink's own chDB."""

import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.support.history import START_MS, STEP_MS, batch, put, serving, stored

pytestmark = pytest.mark.integration

TRADES_STORED = 3_000


@pytest.fixture
async def sink(tmp_path):
    async with stored(tmp_path) as sink:
        yield sink


@pytest.fixture
async def api(sink, tmp_path):
    async with serving(tmp_path, sink.facts()["http_port"]) as client:
        yield client


async def pages(api, path: str, **asked) -> list[list[dict]]:
    found, cursor = [], None
    while True:
        answer = await api.get(path, params=asked | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        if not body["data"]:
            return found
        found.append(body["data"])
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def test_requests_of_old_clients_get_the_answers_of_old(sink, api) -> None:
    await put(sink, 0, batch(1, TRADES_STORED))
    path = "/api/v1/data/trades/BTCUSDT"
    body = (await api.get(path, params={"start_time": START_MS, "limit": 1_000})).json()
    assert body["success"] is True
    assert body["message"] == "Retrieved 1000 trades"
    old = ("aggregate_id", "price", "quantity", "timestamp", "is_buyer_maker")
    first = {name: body["data"][0][name] for name in old}
    assert first == dict(zip(old, (1, 50000.51, 0.011, START_MS + 153, True), strict=True))
    body = (await api.get("/api/v1/data/klines/BTCUSDT?timeframe=15&limit=100")).json()
    assert len(body["data"]) == 15
    assert {"candle_time", "open", "high", "low", "close", "volume", "trades_count"} <= set(
        body["data"][0]
    )
    assert body["data"][0]["interval"] == 900_000
    health = (await api.get("/api/v1/monitoring/health")).json()
    assert health["trades_processed_total"] == TRADES_STORED
    assert health["clickhouse_status"] == "connected"
    assert (await api.get("/api/v1/monitoring/system-stats")).json()["clickhouse"]
    assert (await api.get("/api/v1/admin/tickers/status")).json()["success"] is True
    for path in ("/api/v1/integrity", "/api/v1/integrity/gaps"):
        assert (await api.get(path)).json()["success"] is True


@pytest.mark.parametrize("start", [None, START_MS])
async def test_pages_hold_every_trade_once_while_more_come(sink, api, start) -> None:
    await put(sink, 0, batch(1, TRADES_STORED))
    path, asked = "/api/v1/data/trades/BTCUSDT", {"limit": 700}
    asked |= {} if start is None else {"start": start}
    first = (await api.get(path, params=asked)).json()
    await put(sink, 1, batch(TRADES_STORED + 1, 500))  # newer ones
    await put(sink, 2, batch(1, 100))  # the same again
    found, cursor = [first["data"]], first["next_cursor"]
    while cursor:
        body = (await api.get(path, params=asked | {"cursor": cursor})).json()
        found.append(body["data"])
        cursor = body["next_cursor"]
    if start is None:
        found.reverse()
    newer = 0 if start is None else 500  # those who read on towards the present meet them
    told = [row["id"] for page in found for row in page]
    assert told == list(range(1, TRADES_STORED + newer + 1))


@pytest.mark.parametrize("start", [None, START_MS])
async def test_pages_hold_every_closed_candle_once_and_add_up(sink, api, start) -> None:
    await put(sink, 0, batch(1, TRADES_STORED))
    asked = {"timeframe": "3", "limit": 20, "closed": True}
    asked |= {} if start is None else {"start": start}
    found = await pages(api, "/api/v1/data/klines/BTCUSDT", **asked)
    if start is None:
        found.reverse()
    times = [row["timestamp"] for page in found for row in page]
    last_ms = START_MS + 153 + (TRADES_STORED - 1) * STEP_MS
    assert times == list(range(START_MS, last_ms - last_ms % 180_000, 180_000))
    await put(sink, 1, batch(TRADES_STORED + 1, 500))
    more = await pages(api, "/api/v1/data/klines/BTCUSDT", **asked | {"start": times[-1] + 1})
    assert more[0][0]["timestamp"] == times[-1] + 180_000


async def test_a_cursor_goes_on_when_the_data_has_grown(sink, api) -> None:
    await put(sink, 0, batch(1, 100))
    path, asked = "/api/v1/data/klines/BTCUSDT", {"timeframe": "1m", "start": START_MS}
    first = (await api.get(path, params=asked)).json()
    assert [row["closed"] for row in first["data"]] == [True] * 7 + [False]
    await put(sink, 1, batch(101, 100))
    more = (await api.get(path, params=asked | {"cursor": first["next_cursor"]})).json()
    assert more["data"][0]["timestamp"] == first["data"][-1]["timestamp"]
    assert more["data"][0]["closed"]


async def test_every_format_says_the_same(sink, api) -> None:
    await put(sink, 0, batch(1, 500))
    path, asked = "/api/v1/data/klines/BTCUSDT", {"timeframe": "173m", "limit": 50}
    text = (await api.get(path, params=asked)).text
    rows = [
        {name: Decimal(str(v)) if isinstance(v, float) else v for name, v in row.items()}
        for row in (await api.get(path, params=asked)).json()["data"]
    ]
    assert '"open":50000.51' in text
    arrow = await api.get(path, params=asked | {"format": "arrow"})
    tables = [
        pa.ipc.open_stream(arrow.content).read_all(),
        pq.read_table(
            io.BytesIO(
                (
                    await api.get(
                        path, params=asked, headers={"accept": "application/vnd.apache.parquet"}
                    )
                ).content
            )
        ),
        pa_csv.read_csv(
            io.BytesIO((await api.get(path, params=asked | {"format": "csv"})).content),
            convert_options=pa_csv.ConvertOptions(column_types={"volume": pa.decimal128(38, 12)}),
        ),
    ]
    for table in tables:
        assert table["timestamp"].to_pylist() == [row["timestamp"] for row in rows]
        assert table["volume"].to_pylist() == [row["volume"] for row in rows]
    assert arrow.headers["content-disposition"] == 'attachment; filename="BTCUSDT-173m.arrow"'
    trades = await api.get("/api/v1/data/trades/BTCUSDT", params={"format": "arrow", "limit": 10})
    assert pa.ipc.open_stream(trades.content).read_all()["id"].to_pylist() == list(range(491, 501))
    assert trades.headers["x-next-cursor"]


BAD = [
    ({"timeframe": "90s"}, "whole minutes"),
    ({"timeframe": "abc"}, "not an interval"),
    ({"start": "yesterday"}, "ISO 8601"),
    ({"start": "1640995200000000"}, "milliseconds"),
    ({"start": "2022-01-02", "end": "2022-01-01"}, "end is not after start"),
    ({"limit": 2_001}, "next_cursor"),
    ({"cursor": "nonsense"}, "leave it out"),
    ({"exchange": "binnance"}, "no exchange"),
]


async def test_what_cannot_be_meant_is_refused_with_the_way_out(sink, api) -> None:
    await put(sink, 0, batch(1, 500))
    path = "/api/v1/data/klines/BTCUSDT"
    for asked, reason in BAD:
        answer = await api.get(path, params=asked)
        assert answer.status_code == (404 if "exchange" in asked else 422)
        assert reason in answer.json()["detail"]["reason"]
    assert (await api.get(path, params={"limit": 0})).status_code == 422
    assert (await api.get(path, params={"format": "xml"})).status_code == 422
    other = (await api.get(path, params={"limit": 2, "timeframe": 1})).json()["next_cursor"]
    assert (await api.get(path, params={"cursor": other, "timeframe": 2})).status_code == 422
    answer = await api.get("/api/v1/data/trades/BTCUSD")
    assert (answer.status_code, answer.json()["detail"]["near"]) == (404, ["BTCUSDT"])
    quoted = await api.get("/api/v1/data/trades/x' OR 1=1 --")
    assert quoted.status_code == 404


async def test_everything_is_told_by_openapi(api) -> None:
    told = (await api.get("/openapi.json")).json()
    klines = told["paths"]["/api/v1/data/klines/{symbol}"]["get"]
    assert klines["responses"]["200"]["content"]["application/json"]["example"]["data"]
    assert {"404", "422", "503"} <= set(klines["responses"])


async def test_without_a_warehouse_the_answer_is_503_and_when_to_ask_again(tmp_path) -> None:
    async with serving(tmp_path, 9, awaited=False) as api:
        for path in ("data/trades/BTCUSDT", "data/klines/BTCUSDT", "integrity"):
            answer = await api.get(f"/api/v1/{path}")
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
        health = (await api.get("/api/v1/monitoring/health")).json()
        assert health["clickhouse_status"] == "away"
