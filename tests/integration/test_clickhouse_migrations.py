"""The tables of every release become today's with what they hold, however often it is cut off."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
# One process has one chDB: a script of its own, which prints what it found.
SCRIPT = """
import sys
import clickhouse_connect
from schemas.clickhouse import read_migrations
from sinks.base import Record
from sinks.clickhouse.trades import trade_table
from sinks.clickhouse.store import migrate
from tests.support import market

client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
client.command("CREATE DATABASE m")
client.database = "m"
for migration in read_migrations()[:2]:  # of release 0.1.0
    for statement in migration.statements:
        client.command(statement)


def insert(offset, *groups, without=()):
    table, refused = trade_table([Record("t", 0, offset, 0, market.trades_value(*groups))])
    assert refused == []
    kept = [name for name in table.column_names if name not in without]
    client.insert_arrow("trades", table.select(kept))


def show(sql):
    print(client.query(sql).result_rows)


insert(5, market.group(), without=("contract_size", "rev", "place"))
died, note = set(), client.insert


def note_or_die(table, rows, **options):
    if rows[0][0] not in died:  # each is done, and killed before it is noted
        died.add(rows[0][0])
        raise InterruptedError
    note(table, rows, **options)


client.insert = note_or_die
while True:
    try:
        migrate(client)
        break
    except InterruptedError:
        pass
assert died == {each.version for each in read_migrations()}
show("SELECT id, uid, toString(price), rev, place FROM trades_unique ORDER BY id")
one = {"symbol": "B", "ts": [market.BASE_MS] * 3, "ids": "unique", "contract_size": "0.01"}
first = market.group(**one, id=[7, 7, 9], uid=["a", "b", "c"])
insert(3, first)
insert(9, market.group(**one, id=[7, 9, 9], uid=["b", "c", "d"]))  # after a reconnect
insert(3, first)  # after a crash
show("SELECT uid, id, rev, place FROM trades_unique WHERE symbol = 'B' ORDER BY rev, place")
client.command("OPTIMIZE TABLE trades FINAL")
show("SELECT count(), arrayReverseSort(groupUniqArray(toString(contract_size))) FROM trades")
"""


async def test_the_first_tables_keep_their_rows_and_the_first_arrival_stays(tmp_path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", SCRIPT, str(tmp_path / "chdb")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    told = [line for line in out.decode().splitlines() if line.startswith("[(")]
    assert told == [
        "[(1, '', '28145.11', 0, 0), (2, '', '28145.12', 0, 0), (3, '', '28145.13', 0, 0)]",
        "[('a', 7, 3, 0), ('b', 7, 3, 1), ('c', 9, 3, 2), ('d', 9, 9, 2)]",
        "[(7, ['0.01', ''])]",
    ]
