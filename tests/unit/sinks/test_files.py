"""The sinks without a server: files and the console."""

import os

from schemas.topics import KLINES, TRADES
from sinks.base import Batch, Record
from sinks.console import ConsoleSink
from sinks.files import FileSink, clean
from tests.support import market


def records(*values: bytes, first_offset: int = 0) -> Batch:
    return market.batch(KLINES.name, values, first_offset=first_offset)


def lines(root) -> list[bytes]:
    return [
        line
        for path in sorted(root.rglob("*.jsonl"))
        for line in path.read_bytes().split(b"\n")[:-1]
    ]


async def test_files_stand_in_hourly_folders_by_exchange(tmp_path) -> None:
    sink = FileSink(tmp_path)
    await sink.open()
    assert await sink.write(records(market.klines_value())) == []
    await sink.write(
        market.batch(TRADES.name, [market.trades_value(exchange="okx", channel="spot")])
    )
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl")}
    assert found == {
        "binance/2023/04/05/00/20230405_000000_000000_linear_klines_0-0.jsonl",
        "okx/2023/04/05/00/20230405_000000_000000_spot_trades_0-0.jsonl",
    }


async def test_a_repeat_with_other_ends_doubles_nothing(tmp_path) -> None:
    values = [market.klines_value(market.kline(rev=i)) for i in range(6)]
    sink = FileSink(tmp_path)
    await sink.write(records(*values[:4]))
    await sink.write(records(*values[:2]))  # killed before the commit: from the same offset again
    await sink.write(records(*values[2:], first_offset=2))
    assert sorted(lines(tmp_path)) == sorted(values)


async def test_a_name_cannot_leave_the_folder(tmp_path) -> None:
    sink = FileSink(tmp_path / "root")
    await sink.open()
    value = market.klines_value().replace(b'"binance"', b'"../../outside"')
    refused = await sink.write(records(value, b"torn", market.klines_value()))
    assert [each.record.offset for each in refused] == [0, 1]
    assert not (tmp_path / "outside").exists()
    assert len(lines(tmp_path)) == 1


async def test_files_older_than_four_hours_go_with_their_folders(tmp_path) -> None:
    sink = FileSink(tmp_path)
    await sink.write(records(market.klines_value()))
    old = tmp_path / "okx" / "2020" / "a.jsonl"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"{}\n")
    os.utime(old, (1, 1))
    clean(tmp_path, before_s=1_000)
    assert not (tmp_path / "okx").exists()
    assert len(lines(tmp_path)) == 1


async def test_the_console_prints_one_line_per_record(capfdbinary) -> None:
    spread = market.klines_value().replace(b",", b",\n ")
    refused = await ConsoleSink().write(
        Batch([Record(KLINES.name, 0, i, 0, v) for i, v in enumerate((spread, b"{"))], {})
    )
    assert [each.record.offset for each in refused] == [1]
    assert capfdbinary.readouterr().out == market.klines_value() + b"\n"
