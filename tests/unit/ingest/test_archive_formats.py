import gzip
import zipfile
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.recovery.archives.columns import Unreadable, fixed_point, milliseconds
from ingest.recovery.archives.reading import BROKEN, prove, read
from ingest.recovery.archives.venues import LAYOUTS, binance

SPOT, LINEAR = LAYOUTS["binance", "spot"], LAYOUTS["binance", "linear"]
AGGREGATES = binance("spot", "aggTrades")
BYBIT_SPOT, BYBIT, OKX = (
    LAYOUTS["bybit", "spot"],
    LAYOUTS["bybit", "linear"],
    LAYOUTS["okx", "linear"],
)
MS = int(datetime(2024, 1, 31, 12, tzinfo=UTC).timestamp()) * 1_000
UUID = "c2f4b8a0-6f0b-5a8e-8a54-6a5b1d3e0001"
OTHER = "c2f4b8a0-6f0b-5a8e-8a54-6a5b1d3e0002"


@pytest.fixture
def rows(tmp_path):
    def write_and_read(layout, *lines, symbol="BTCUSDT"):
        text = "".join(line + "\n" for line in lines)
        raw = text if isinstance(text, bytes) else text.encode("gbk")
        path = packed(tmp_path, layout, raw)
        told = read(path, layout.packing, layout.form, symbol, tmp_path)
        return [row for columns in told for row in columns.rows("k", symbol)]

    return write_and_read


def packed(folder, layout, raw):
    path = folder / "file"
    if layout.packing == "gzip":
        path.write_bytes(gzip.compress(raw))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", raw)
    return path


def told(row):
    price = Decimal(row.price).scaleb(-row.price_scale)
    qty = Decimal(row.qty).scaleb(-row.qty_scale)
    return row.id, row.ts, price, qty, row.side, row.first, row.last


def test_spot_trades_have_no_header_and_either_spelling_of_truth(rows):
    found = rows(
        SPOT,
        f"7,42000.10000000,0.00100000,42.00010000,{MS},True,True",
        f"8,42000.20000000,0.12300000,5166.02460000,{MS},false,true",
    )
    assert [told(row) for row in found] == [
        (7, MS, Decimal("42000.1"), Decimal("0.001"), -1, 7, 7),
        (8, MS, Decimal("42000.2"), Decimal("0.123"), 1, 8, 8),
    ]


def test_spot_stamps_since_2025_are_microseconds(rows):
    found = rows(SPOT, f"7,1.0,1.0,1.0,{MS * 1_000 + 999},True,True")
    assert found[0].ts == MS


@pytest.mark.parametrize("seconds", [MS // 1_000, MS * 1_000_000])
def test_stamps_of_no_known_unit_are_refused(rows, seconds):
    with pytest.raises(Unreadable, match="no time"):
        rows(SPOT, f"7,1.0,1.0,1.0,{seconds},True,True")


HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"


@pytest.mark.parametrize("header", [(), (HEADER,)])
def test_futures_aggregates_may_have_a_header(rows, header):
    found = rows(LINEAR, *header, f"9,42000.1,0.5,100,103,{MS},true")
    assert [told(row) for row in found] == [
        (9, MS, Decimal("42000.1"), Decimal("0.5"), -1, 100, 103)
    ]


def test_spot_aggregates_have_one_column_more(rows):
    found = rows(AGGREGATES, f"9,42000.1,0.5,100,103,{MS},False,True")
    assert told(found[0]) == (9, MS, Decimal("42000.1"), Decimal("0.5"), 1, 100, 103)


def test_columns_of_a_header_may_stand_anywhere_and_unknown_ones_are_skipped(rows):
    names = HEADER.split(",")
    line = f"9,42000.1,0.5,100,103,{MS},true".split(",")
    found = rows(LINEAR, ",".join(["new", *names[::-1]]), ",".join(["x", *line[::-1]]))
    assert told(found[0]) == (9, MS, Decimal("42000.1"), Decimal("0.5"), -1, 100, 103)


def test_a_header_that_lacks_a_column_is_refused(rows):
    with pytest.raises(Unreadable, match="lacks qty"):
        rows(LINEAR, HEADER.replace("quantity", "amount"), f"9,1,0.5,100,103,{MS},true")


BYBIT_HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)


def test_bybit_linear_tells_seconds_and_uuids(rows):
    found = rows(
        BYBIT,
        BYBIT_HEADER,
        f"1706702400.1239,BTCUSDT,Buy,0.010,42000.50,PlusTick,{UUID},4.2e+10,0.010,420.005",
        f"1706702401,BTCUSDT,Sell,1e-05,42000.50,ZeroPlusTick,{OTHER},1,0.010,420.005",
    )
    assert [(row.uid, row.ts, row.side, row.flags) for row in found] == [
        (UUID, 1_706_702_400_123, 1, 0),
        (OTHER, 1_706_702_401_000, -1, 0),
    ]
    assert told(found[1])[2:4] == (Decimal("42000.5"), Decimal("0.00001"))


def test_bybit_flags_retail_trades_where_it_tells_them(rows):
    found = rows(
        BYBIT,
        f"{BYBIT_HEADER},RPI",
        f"1706702400.1,BTCUSDT,Buy,1,42000.50,PlusTick,{UUID},1,1,1,1",
    )
    assert found[0].flags == 4


def test_rows_of_another_symbol_are_left_out(rows):
    found = rows(
        BYBIT,
        BYBIT_HEADER,
        f"1706702400.1,ETHUSDT,Buy,1,2000.50,PlusTick,{OTHER},1,1,1",
        f"1706702400.1,BTCUSDT,Buy,1,42000.50,PlusTick,{UUID},1,1,1",
    )
    assert [row.uid for row in found] == [UUID]


@pytest.mark.parametrize("rpi", ["", ",rpi"])
def test_bybit_spot_numbers_its_rows_by_time_and_place(rows, rpi):
    more = ",0" if rpi else ""
    found = rows(
        BYBIT_SPOT,
        f"id,timestamp,price,volume,side{rpi}",
        f"1,{MS},42000.5,0.003718,sell{more}",
        f"2,{MS},42000.5,0.003718,sell{more}",
        f"3,{MS + 1},42000.6,0.000500,buy{more}",
    )
    assert [row.id for row in found] == [MS * 100_000, MS * 100_000 + 1, (MS + 1) * 100_000]
    assert [row.side for row in found] == [-1, -1, 1]


@pytest.mark.parametrize(
    "header",
    [
        "instrument_name,trade_id,side,price,size,created_time",
        "instrument_name/交易产品,trade_id/撮合id,side/交易方向,price/价格,size/数量,created_time/成交时间",
    ],
)
def test_okx_tells_single_trades_under_headers_of_one_or_two_languages(rows, header):
    line = f"BTC-USDT-SWAP,55,buy,42000.1,12.5,{MS}"
    found = rows(OKX, header, line, symbol="BTC-USDT-SWAP")
    assert told(found[0]) == (55, MS, Decimal("42000.1"), Decimal("12.5"), 1, 55, 55)


@pytest.mark.parametrize(
    "line",
    [
        f"9,abc,0.5,100,103,{MS},true",
        f"9,,0.5,100,103,{MS},true",
        f"9,-1,0.5,100,103,{MS},true",
        f"9,nan,0.5,100,103,{MS},true",
        f"9,1e30,0.5,100,103,{MS},true",
        f"9,12345678901234567890123,0.5,100,103,{MS},true",
        f"9,9223372036854775808,0.5,100,103,{MS},true",
        f"9,1,0.1234567890123456789,100,103,{MS},true",
        f"-9,1,0.5,100,103,{MS},true",
        f"9.0,1,0.5,100,103,{MS},true",
        f"9,1,0.5,100,103,{MS},maybe",
        f"9,1,0.5,100,103,{MS}",
        "9,1,0.5",
    ],
)
def test_a_line_that_makes_no_sense_is_refused_and_never_guessed(rows, line):
    with pytest.raises(BROKEN):
        rows(LINEAR, f"8,1,0.5,99,99,{MS},true", line)


def test_an_empty_file_has_no_rows(rows):
    assert rows(LINEAR) == []


@pytest.mark.parametrize("layout", [LINEAR, BYBIT_SPOT], ids=["zip", "gzip"])
def test_a_file_that_is_cut_off_is_noticed_before_a_row_is_given(tmp_path, layout):
    line = b"9,1,0.5,100,103,%d,true\n" % MS
    path = packed(tmp_path, layout, line * 10_000)
    prove(path, layout.packing)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BROKEN):
        prove(path, layout.packing)


def test_a_byte_that_changed_inside_is_noticed(tmp_path):
    path = packed(tmp_path, BYBIT_SPOT, b"id,timestamp\n" * 1_000)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BROKEN):
        prove(path, "gzip")


def test_a_zip_of_two_files_is_refused(tmp_path):
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "1")
        archive.writestr("b.csv", "1")
    with pytest.raises(Unreadable, match="2 files"):
        prove(path, "zip")


@given(st.lists(st.decimals(0, 10**9, places=8, allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_keep_every_digit(numbers):
    texts = [f"{number:f}" for number in numbers]
    values, scale = fixed_point("price", pa.array(texts, pa.string()))
    assert [Decimal(int(v)).scaleb(-scale) for v in values] == numbers


def test_the_scale_is_the_smallest_that_loses_nothing():
    assert fixed_point("p", pa.array(["1.50000000", "2.00"]))[1] == 1
    assert fixed_point("p", pa.array(["3"]), 4)[1] == 4


def test_milliseconds_and_microseconds_may_stand_in_one_file():
    stamps = pa.array([MS, MS * 1_000 + 5]).to_numpy()
    assert milliseconds(stamps).tolist() == [MS, MS]


def test_a_file_of_several_blocks_is_read_whole(rows):
    lines = [f"{n},{n}.5,0.5,{n},{n},{MS + n},true" for n in range(60_000)]
    found = rows(LINEAR, *lines)
    assert [row.id for row in found] == list(range(60_000))
