"""Folds killed at random: what was published must be what a fold that never died publishes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from processors.fold import Fold

PARTITION = 3
STEPS = ("go", "flush", "flush", "checkpoint", "checkpoint", "torn", "crash", "crash")
CRASHES_MAX = 5


@dataclass
class Seen:
    """What was published: the value of each (key, rev), and the newest of each key."""

    by_rev: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    newest: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    told: dict[bytes, int] = field(default_factory=dict)
    """The last ``rev`` of each key that the living process has published."""

    def take(self, fold: Fold, now_ms: int, caught_up: Sequence[int] = (PARTITION,)) -> None:
        for output in fold.outputs(now_ms, caught_up):
            assert output.topic in fold.writes
            (row,) = orjson.loads(output.value)["data"]
            key, rev = output.key, row["rev"]
            assert self.by_rev.setdefault((key, rev), output.value) == output.value
            assert rev >= self.told.get(key, 0), "revisions never go back"
            self.told[key] = rev
            if rev >= self.newest.get(key, (-1, b""))[0]:
                self.newest[key] = rev, output.value


def straight(make: Callable[[], Fold], records: Sequence[bytes]) -> Seen:
    """Return what a fold publishes that never dies and is asked after every record."""
    fold, seen = make(), Seen()
    for offset, value in enumerate(records):
        fold.apply(fold.reads[0], PARTITION, offset, value)
        seen.take(fold, offset * 1_000_000)
    return seen


def killed(make: Callable[[], Fold], records: Sequence[bytes], seed: int) -> Seen:
    """Return what is published by processes that die at any point, and start from the changelog.

    A torn checkpoint has written some of its records, in their order, and not its position.
    """
    fold, seen, rng = make(), Seen(), random.Random(seed)
    changelog: dict[bytes, bytes] = {}
    position = offset = crashes = 0
    while offset < len(records):
        fold.apply(fold.reads[0], PARTITION, offset, records[offset])
        offset += 1
        step = rng.choice(STEPS)
        if step in ("flush", "checkpoint", "torn"):
            caught_up = (PARTITION,) if rng.random() < 0.5 else ()
            seen.take(fold, rng.randrange(5_000), caught_up)
        if step == "checkpoint":
            changelog |= written(fold)
            position = offset
        if step == "torn":
            parts = list(written(fold).items())
            changelog |= dict(parts[: rng.randint(0, len(parts))])
        if step in ("torn", "crash") and crashes < CRASHES_MAX:
            crashes += 1
            fold, offset, seen.told = make(), position, {}
            fold.restore(PARTITION, dict(changelog))
        elif step == "torn":  # dies no more: it is a checkpoint after all
            changelog |= dict(parts)
            position = offset
    seen.take(fold, 2**50)
    return seen


def written(fold: Fold) -> dict[bytes, bytes]:
    """Return the records of a checkpoint, all of one partition, each key once."""
    records = fold.take_dirty()
    assert all(partition == PARTITION for partition, _, _ in records)
    assert len({key for _, key, _ in records}) == len(records)
    return {key: value for _, key, value in records}


def assert_same_story(got: Seen, wanted: Seen) -> None:
    """What was published under a ``rev`` is what belongs there, and the last word is the same."""
    for at, value in got.by_rev.items():
        assert wanted.by_rev[at] == value
    assert got.newest == wanted.newest
