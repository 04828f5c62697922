"""Frames in, rows out: what is wanted, what is new, and what cannot be read."""

import asyncio

import orjson
from ingesting import intake

from ingest.exchanges.base import Ack, Exchange, Market, Other
from ingest.exchanges.binance import EXCHANGE, LINEAR, SPOT
from schemas.dead_letters import decode_dead_letter
from schemas.trades import decode_batch

TRADE = b'{"e":"trade","s":"A","t":%d,"p":"1.5","q":"2","T":1700000000000,"m":true}'
FORCED = (
    b'{"e":"forceOrder","E":1700000000001,"o":{"s":"A","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014",'
    b'"p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":1700000000000}}'
)


class Topics:
    """A producer that keeps values by topic and acknowledges at once."""

    def __init__(self) -> None:
        self.values: dict[str, list[bytes]] = {}

    async def send(self, topic, value=None, *, key=None, partition=None):
        self.values.setdefault(topic, []).append(value)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def ids(self) -> list[int]:
        batches = map(decode_batch, self.values.get("trades", ()))
        return [i for batch in batches for group in batch.symbols for i in group.id]

    def rows(self, topic: str) -> list[dict]:
        return [row for value in self.values.get(topic, ()) for row in orjson.loads(value)["data"]]


async def taken(frames, *wanted, exchange: Exchange = EXCHANGE, market: Market = SPOT) -> Topics:
    """Let an intake take (frame, socket) pairs and return what was published."""
    topics = Topics()
    publisher, taking = intake(exchange, market, topics)
    for kind, symbol in wanted:
        taking.want(kind, symbol)
    task = asyncio.create_task(publisher.run())
    for frame, socket in frames:
        taking.take(frame, 77, socket)
    publisher.close()
    await asyncio.wait_for(task, 2)
    return topics


async def test_a_broken_frame_between_two_trades_costs_neither() -> None:
    other = TRADE.replace(b'"trade"', b'"aggTrade"') % 3  # its ids are another series
    other = other.replace(b'"t":', b'"f":1,"l":1,"a":')
    frames = (other, TRADE % 1, b'{"e":"trade"', TRADE % 1, TRADE % 2, b'{"result":null,"id":9}')
    topics = await taken([(frame, "ws://x") for frame in frames], ("trades", "A"))
    assert topics.ids() == [1, 2]
    (letter,) = map(decode_dead_letter, topics.values["dead"])
    assert (letter.payload, letter.source, letter.recv_ns) == (b'{"e":"trade"', "ws://x", 77)


async def test_rows_of_streams_that_nobody_wants_are_left_out() -> None:
    frames = [(TRADE % 1, "x"), ((TRADE % 2).replace(b'"A"', b'"B"'), "x"), (FORCED, "x")]
    topics = await taken(frames, ("trades", "A"), market=LINEAR)
    assert topics.values.keys() <= {"trades"}


async def test_what_a_stream_missed_while_it_was_off_does_not_come_back_as_new() -> None:
    topics = Topics()
    publisher, taking = intake(EXCHANGE, SPOT, topics)
    task = asyncio.create_task(publisher.run())
    taking.want("trades", "A")
    taking.take(TRADE % 1, 77, "x")
    taking.drop("trades", "A")
    taking.take(TRADE % 2, 77, "x")
    taking.want("trades", "A")
    for id_ in (1, 3):
        taking.take(TRADE % id_, 77, "x")
    publisher.close()
    await asyncio.wait_for(task, 2)
    assert topics.ids() == [1, 3]


async def test_two_sockets_tell_a_liquidation_once_and_one_socket_twice_is_two() -> None:
    frames = [(FORCED, "one"), (FORCED, "two"), (FORCED, "one"), (FORCED, "two")]
    topics = await taken(frames, ("liquidations", "A"), market=LINEAR)
    rows = topics.rows("md.liquidations.v1")
    assert [(row["symbol"], row["side"], row["price"]) for row in rows] == [("A", -1, 9910)] * 2


def test_what_concerns_the_session_is_told_apart_from_data() -> None:
    async def play() -> list[tuple]:
        _, taking = intake(EXCHANGE, SPOT, Topics())
        taking.want("trades", "A")
        frames = (b'{"result":null,"id":3}', TRADE % 1, b'{"e":"contractInfo"}', b"{")
        return [taking.take(frame, 77, "x") for frame in frames]

    ack, trade, other, broken = asyncio.run(play())
    assert ack == ([Ack(3)], False)
    assert trade == ([], True)
    assert other == ([Other("contractInfo")], False)
    assert broken == ([], False)
