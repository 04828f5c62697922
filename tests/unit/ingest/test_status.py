import pytest

from ingest.exchanges.base import Instrument
from ingest.status import StatusBoard
from schemas.control import decode_instrument, decode_stream_status
from schemas.streams import StreamKey

KEY = StreamKey("kraken", "spot", "BTC/USD", "trades", "ws")
OTHER = KEY._replace(symbol="ETH/USD")


def instrument(**changes) -> Instrument:
    fields = {
        "symbol": "BTC/USD", "unified": "BTC/USD", "status": "online", "is_streamed": True,
        "price_scale": 1, "qty_scale": 8, "tick": "0.1", "step": "0.00000001",
    }  # fmt: skip
    return Instrument(**{**fields, **changes})


def told(board: StatusBoard) -> list[tuple[str, str, str, int]]:
    found = []
    for record in board.records():
        status = decode_stream_status(record.value)
        found.append((record.key.decode(), status.state, status.detail, status.since_ms))
    return found


def test_only_changes_are_told_and_since_when_the_state_is_so() -> None:
    board = StatusBoard("p.")
    board.set(KEY, "subscribing", 1)
    board.set(KEY, "live", 2)
    assert told(board) == [(str(KEY), "live", "", 2)]
    board.set(KEY, "live", 3)
    assert told(board) == []
    board.set(KEY, "live", 4, "on two sockets")
    assert told(board) == [(str(KEY), "live", "on two sockets", 2)]
    board.set(KEY, "silent", 5)
    assert told(board) == [(str(KEY), "silent", "", 5)]


def test_records_have_the_prefixed_topic_and_the_documented_key() -> None:
    board = StatusBoard("p.")
    board.set(KEY, "live", 1)
    board.list_instruments("kraken", "spot", [instrument()])
    records = list(board.records())
    assert [(r.topic, r.key) for r in records] == [
        ("p.md.streams.v1", b"kraken:spot:BTC/USD:trades:ws"),
        ("p.md.instruments.v1", b"kraken:spot:BTC/USD"),
    ]
    row = decode_instrument(records[1].value)
    assert (row.unified, row.tick, row.contract_size) == ("BTC/USD", "0.1", "1")


def test_instruments_are_told_at_the_start_and_when_they_change() -> None:
    board = StatusBoard("")
    two = [instrument(), instrument(symbol="ETH/USD")]
    board.list_instruments("kraken", "spot", two)
    assert len(list(board.records())) == 2
    board.list_instruments("kraken", "spot", [two[0], instrument(symbol="ETH/USD", tick="0.01")])
    assert [record.key for record in board.records()] == [b"kraken:spot:ETH/USD"]


def test_what_waits_has_one_entry_a_stream() -> None:
    board = StatusBoard("")
    for ms in range(1_000):
        board.set(KEY, "live" if ms % 2 else "silent", ms)
    assert told(board) == [(str(KEY), "live", "", 999)]


def test_at_the_end_every_running_stream_has_stopped() -> None:
    board = StatusBoard("")
    board.set(KEY, "live", 1)
    board.set(OTHER, "refused", 1, "unknown")
    list(board.records())
    board.stop_all(9)
    assert [(key, state) for key, state, _, _ in told(board)] == [(str(KEY), "stopped")]


@pytest.mark.parametrize("is_mine", [True, False])
def test_what_an_earlier_run_streamed_and_this_one_does_not_has_stopped(is_mine) -> None:
    board = StatusBoard("")
    board.stop_others([KEY], {KEY} if is_mine else {OTHER}, 7)
    assert [state for _, state, _, _ in told(board)] == ([] if is_mine else ["stopped"])
