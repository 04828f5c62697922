"""A checkpoint of some partitions makes theirs durable and acks theirs, and no others."""

from types import SimpleNamespace

from crashing import CHANGELOG, run
from faust.types import TP
from folding import trades

from processors.agents.folds import chosen_folds
from processors.changelog import is_position, position_key
from processors.checkpoint import Checkpoint, Names
from processors.fencing import FencedStore, Token
from processors.upkeep import Upkeep
from runtime.settings import Settings
from schemas.topics import KLINES_LIVE, TRADES
from schemas.trades import TradeBatch, encode_batch

PARTITIONS = (0, 1, 2)


class Log:
    """An outbox that stores at once: (topic, partition, key, value), in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, bytes | None, bytes]] = []

    def put(self, topic, partition, key, value, _=()) -> None:
        self.records.append((topic, partition, key, value))

    async def send(self) -> None: ...

    async def arrived(self) -> None: ...

    def discard(self) -> None:
        self.records = []

    def take(self) -> list[tuple[str, int, bytes | None, bytes]]:
        records, self.records = self.records, []
        return records


class Worker:
    """A checkpoint over the candles' fold; one symbol a partition."""

    def __init__(self) -> None:
        self.log = Log()
        self.acked: list[tuple[int, int]] = []
        (self.fold,) = chosen_folds(Settings(process_agents=("klines",)))
        self.checkpoint = Checkpoint(
            [self.fold],
            self.log,
            self.log,
            FencedStore("memory://", None, None, table_name="states"),
            Names(changelog=CHANGELOG, prefix="", partitions=len(PARTITIONS)),
        )
        positions = {TP(TRADES.name, partition): 0 for partition in PARTITIONS}
        tokens = {partition: Token(1, 1) for partition in PARTITIONS}
        run(self.checkpoint.claim(positions, tokens, lambda: None))
        self.log.take()

    def read(self, partition: int, offset: int) -> None:
        group = trades((offset + 1, offset, 100, 1, 1), symbol=f"S{partition}")
        batch = TradeBatch("binance", "linear", "live", 1, [group])
        self.fold.apply(TRADES, partition, offset, encode_batch(batch))
        tp = TP(TRADES.name, partition)
        self.checkpoint.next_offset[tp] = offset + 1
        event = SimpleNamespace(
            message=SimpleNamespace(tp=tp), ack=lambda: self.acked.append((partition, offset))
        )
        self.checkpoint.applied(event, 1)

    def save(self, partitions=None) -> list[tuple[str, int, bytes | None, bytes]]:
        run(self.checkpoint.save(0, {}, lambda: None, partitions))
        return self.log.take()


def test_states_positions_and_acks_are_those_of_its_partitions() -> None:
    worker = Worker()
    for partition in PARTITIONS:
        worker.read(partition, 0)
    worker.read(1, 1)
    records = worker.save([1])
    assert records[0][0] == KLINES_LIVE.name, "outputs go first, of every partition"
    written = [(partition, key, value) for topic, partition, key, value in records
               if topic == CHANGELOG]  # fmt: skip
    assert {partition for partition, _, _ in written} == {1}
    assert written[-1] == (1, position_key(TRADES.name, 1), b"2"), "the position comes last"
    assert worker.acked == [(1, 0), (1, 1)]
    assert worker.checkpoint.unsaved == 2

    written = [record for record in worker.save() if record[0] == CHANGELOG]
    assert {partition for _, partition, _, _ in written} == {0, 2}
    assert sorted(worker.acked) == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert worker.checkpoint.unsaved == 0
    assert worker.save() == []


def test_what_is_written_anew_of_another_partition_is_what_was_saved_of_it() -> None:
    worker = Worker()
    worker.checkpoint._upkeep = Upkeep(every_s=0.0)  # everything is due, always
    for partition in PARTITIONS:
        worker.read(partition, 0)
    saved = {key: value for topic, _, key, value in worker.save() if topic == CHANGELOG}
    for partition in PARTITIONS:
        worker.read(partition, 1)
    anew = {(partition, key): value for topic, partition, key, value in worker.save([2])
            if topic == CHANGELOG}  # fmt: skip
    others = {key: value for (partition, key), value in anew.items() if partition != 2}
    assert others
    assert others == {key: saved[key] for key in others}
    assert [value for (_, key), value in anew.items() if is_position(key)].count(b"2") == 1


def test_a_rebalance_leaves_nothing_to_save_or_to_ack() -> None:
    worker = Worker()
    for partition in PARTITIONS:
        worker.read(partition, 0)
    worker.checkpoint.forget()
    assert worker.checkpoint.unsaved == 0
    assert worker.save() == []
    assert worker.acked == []
