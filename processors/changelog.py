"""Keys of the changelog: one topic holds the states of every fold, and how far each topic is read.

The klines fold was alone once: its keys, and its positions, stand as they are. A symbol's key
begins with the name of an exchange, so none of the marks here.
"""

from collections.abc import Mapping

from schemas.topics import TRADES

PLAIN_FOLD = "klines"
_FOLD = b"!"
_POSITION = b"@"
_SLOT = b"#"  # no key of a symbol begins with it


def fold_prefix(fold: str) -> bytes:
    """Return what stands before the keys of a fold."""
    return b"" if fold == PLAIN_FOLD else b"%s%s%s" % (_FOLD, fold.encode(), _FOLD)


def position_key(topic: str, partition: int) -> bytes:
    """Return the key under which a partition's next offset is kept; ``topic`` without prefix."""
    if topic == TRADES.name:
        return b"%s%d" % (_POSITION, partition)
    return b"%s%s/%d" % (_POSITION, topic.encode(), partition)


def is_position(key: bytes) -> bool:
    """Say whether a record tells how far a topic is read."""
    return key.startswith(_POSITION)


def states_by_fold(records: Mapping[bytes, bytes]) -> dict[str, dict[bytes, bytes]]:
    """Return the states among records, by the name of their fold, under the keys it gave them."""
    found: dict[str, dict[bytes, bytes]] = {}
    for key, value in records.items():
        if is_position(key):
            continue
        if key.startswith(_FOLD):
            _, name, own = key.split(_FOLD, 2)
            found.setdefault(name.decode(), {})[own] = value
        else:
            found.setdefault(PLAIN_FOLD, {})[key] = value
    return found


def slot_key(slot: int, key: bytes) -> bytes:
    """Return the key of one of the records beside the state under ``key``."""
    return b"%s%d%s%s" % (_SLOT, slot, _SLOT, key)


def is_slot(key: bytes) -> bool:
    """Say whether a record stands beside a state, and is none."""
    return key.startswith(_SLOT)


def symbol_of(key: bytes) -> bytes:
    """Return the key of the state to which a record belongs."""
    return key.split(_SLOT, 2)[2] if is_slot(key) else key
