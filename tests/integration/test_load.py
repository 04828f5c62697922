"""The Python reader and `fibstream export`: from a gateway, and from a folder without one."""

import asyncio
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fibstream import load as loading
from fibstream.cli import app
from fibstream.load import load
from runtime.errors import Misconfigured, Retriable
from sinks.gateway.security.keys import generate, hash_text
from tests.support.history import START_MS, STEP_MS, batch, put, serving, stored
from tests.support.streaming import World

pytestmark = pytest.mark.integration

TRADES = 500
MONTH = {"start": "2022-01-01", "end": "2022-02-01"}


@pytest.fixture
async def url(tmp_path):
    async with stored(tmp_path) as sink:
        await put(sink, 0, batch(1, TRADES))
        async with serving(tmp_path, sink.facts()["http_port"]) as api:
            yield str(api.base_url)


async def test_frames_hold_exact_decimals_or_floats(url, monkeypatch) -> None:
    monkeypatch.setattr(loading, "PAGE_ROWS", 7)  # many pages

    def work():
        frame = load("BTCUSDT", "3m", url=url, **MONTH)
        assert frame["timestamp"].to_list()[0].timestamp() * 1_000 == START_MS
        assert len(frame) == ((TRADES - 1) * STEP_MS) // 180_000 + 1
        total = sum((10 + n % 31) * Decimal("0.001") for n in range(1, TRADES + 1))
        assert sum(frame["volume"].to_list()) == total
        pandas = load("BTCUSDT", 3, url=url, frame="pandas", numbers="float", **MONTH)
        assert pandas["volume"].sum() == pytest.approx(float(total))
        monkeypatch.setattr(loading, "PAGE_ROWS", 200)
        table = load("BTCUSDT", None, url=url, frame="arrow", **MONTH)
        assert table["id"].to_pylist() == list(range(1, TRADES + 1))

    await asyncio.to_thread(work)


async def test_export_writes_files_that_others_read(url, tmp_path) -> None:
    def export(name: str, *more: str) -> None:
        said = ["export", "--symbol", "BTCUSDT", "--url", url, "--to", str(tmp_path / name), *more]
        result = CliRunner().invoke(app, said)
        assert result.exit_code == 0, result.output

    def work():
        export("c.parquet", "--timeframe", "3m")
        export("c.arrow", "--timeframe", "3m")
        export("t.csv")
        candles = pq.read_table(tmp_path / "c.parquet")
        assert candles.schema.field("open").type == pa.decimal128(38, 12)
        assert candles.equals(pa.ipc.open_file(str(tmp_path / "c.arrow")).read_all())
        assert len(pa_csv.read_csv(tmp_path / "t.csv")) == TRADES
        assert not list(tmp_path.glob("*.part"))
        with pytest.raises(Misconfigured, match="ends in none of"):
            CliRunner().invoke(
                app,
                ["export", "--symbol", "X", "--url", url, "--to", "x.xls"],
                catch_exceptions=False,
            )

    await asyncio.to_thread(work)


async def test_what_is_wrong_is_said(url) -> None:
    def work():
        with pytest.raises(Misconfigured, match="no symbol"):
            load("NOSUCH", "3m", url=url)
        with pytest.raises(Misconfigured, match="not an interval"):
            load("BTCUSDT", "3 parsecs", url=url)
        with pytest.raises(Retriable, match="no gateway"):
            load("BTCUSDT", "3m", url="http://127.0.0.1:9")

    await asyncio.to_thread(work)


async def test_a_folder_is_read_without_a_gateway(tmp_path) -> None:
    async with stored(tmp_path) as sink:
        await put(sink, 0, batch(1, TRADES))

    def work():
        table = load("BTCUSDT", "3m", data_dir=tmp_path, frame="arrow")
        assert sum(table["trade_count"].to_pylist()) == 2 * TRADES
        table = load("BTCUSDT", None, data_dir=tmp_path, frame="arrow")
        assert table["id"].to_pylist() == list(range(1, TRADES + 1))
        with pytest.raises(Misconfigured, match="there is no"):
            load("BTCUSDT", data_dir=tmp_path / "elsewhere")

    await asyncio.to_thread(work)


async def test_a_gateway_with_keys_is_shown_one_or_says_what_to_set(
    kafka_bootstrap, topic_prefix, monkeypatch
) -> None:
    _, key = generate()
    async with World(kafka_bootstrap, topic_prefix) as world:
        world.settings = world.settings.model_copy(
            update={"gateway_admin_key_hash": hash_text(key)}
        )
        async with world.gateway() as client:
            url = str(client.base_url)

            def work():
                with pytest.raises(Misconfigured, match=r"FIBSTREAM_API_KEY.*refuses"):
                    load("BTCUSDT", "3m", url=url)
                with pytest.raises(Misconfigured, match=r"FIBSTREAM_API_KEY.*refuses"):
                    load("BTCUSDT", "3m", url=url, key="fs_wrong")
                with pytest.raises(Retriable):  # let in, and there is no warehouse behind it
                    load("BTCUSDT", "3m", url=url, key=key)
                monkeypatch.setenv("FIBSTREAM_API_KEY", key)
                with pytest.raises(Retriable):
                    load("BTCUSDT", "3m", url=url)

            await asyncio.to_thread(work)


async def test_export_makes_a_table_of_duckdb(url, tmp_path) -> None:
    duckdb = pytest.importorskip("duckdb")

    def work():
        to = tmp_path / "market.duckdb"
        said = ["export", "--symbol", "BTCUSDT", "--url", url, "--to", str(to)]
        for more in ([], ["--timeframe", "3m"]):
            result = CliRunner().invoke(app, [*said, *more])
            assert result.exit_code == 0, result.output
        with duckdb.connect(str(to), read_only=True) as database:
            ((count, total),) = database.sql(
                "SELECT count(*), sum(quantity) FROM trades"
            ).fetchall()
            assert count == TRADES
            ((volume,),) = database.sql("SELECT sum(volume) FROM candles").fetchall()
            assert (
                volume
                == total
                == sum((10 + n % 31) * Decimal("0.001") for n in range(1, TRADES + 1))
            )

    await asyncio.to_thread(work)
