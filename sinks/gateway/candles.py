"""Candle records of the topics as text rows with just enough read to place and to order them.

The rows are never decoded whole: what the engine wrote reaches the client digit for digit. A row
is cut out of its record when somebody asks for its text, which for most open candles nobody does.
"""

from operator import attrgetter

import msgspec

from runtime.errors import Poison


class Texts:
    """The rows of one record as they stand in it."""

    __slots__ = ("_rows", "_value")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._rows: list[msgspec.Raw] = []

    def __getitem__(self, at: int) -> str:
        if not self._rows:
            self._rows = _data(self._value).data
        return str(self._rows[at], "utf-8")


class Candle(msgspec.Struct, gc=False):
    """One revision of a candle; of two revisions the higher ``version`` is true."""

    timestamp: int
    version: int
    closed: bool
    trade_count: int
    text: str | None = None
    offset: int = -1
    """Of its record on ``md.klines.v1``; -1: it did not come from there."""
    size: int = 0
    """Bytes of its row, about."""
    texts: Texts | None = None
    at: int = 0

    @property
    def row(self) -> str:
        """Return the JSON text; it is cut out of its record but once."""
        if self.text is None and self.texts is not None:
            self.text, self.texts = self.texts[self.at], None
        return self.text or ""


class Row(msgspec.Struct, gc=False):
    """What of a row tells where it belongs."""

    symbol: str
    interval: int
    timestamp: int
    closed: bool
    rev: int
    trade_count: int
    anchor: str = ""

    @property
    def version(self) -> int:
        """Return the number by which the later of two revisions is told."""
        return 2 * self.rev + self.closed


class Ids(msgspec.Struct, gc=False):
    """The first and the last trade of a row."""

    first_id: int = -1
    last_id: int = -1


class Record:
    """The rows of one record, which are of one symbol; ``candle`` gives each as a candle."""

    __slots__ = (
        "_size",
        "_texts",
        "channel",
        "exchange",
        "offset",
        "partition",
        "recv_ms",
        "rows",
        "windows",
    )

    def __init__(self, value: bytes, envelope: "_Envelope", partition: int, offset: int) -> None:
        self.exchange = envelope.exchange
        self.channel = envelope.channel
        self.recv_ms = envelope.recv_ms
        self.rows = envelope.data
        self.windows = list(map(_window, envelope.data))
        """Which candles these are, and whether they are open."""
        self.partition = partition
        self.offset = offset
        self._texts = Texts(value)
        self._size = len(value) // max(len(self.rows), 1)

    def candle(self, at: int) -> Candle:
        """Return the row of that number."""
        row = self.rows[at]
        candle = Candle(
            row.timestamp, row.version, row.closed, row.trade_count, None,
            self.offset, self._size, self._texts, at,
        )  # fmt: skip
        if row.closed:  # it is kept for long: its record is not
            candle.size = len(candle.row)
        return candle

    def renew(self, candle: Candle, at: int) -> None:
        """Make the row of that number of a candle that is open and stays so."""
        row = self.rows[at]
        candle.version = 2 * row.rev
        candle.trade_count = row.trade_count
        candle.text, candle.texts, candle.at = None, self._texts, at


class _Envelope(msgspec.Struct, gc=False):
    exchange: str
    channel: str
    recv_ms: int
    data: list[Row]


class _Data(msgspec.Struct, gc=False):
    data: list[msgspec.Raw]


_window = attrgetter("interval", "timestamp", "closed", "anchor")
_symbol = attrgetter("symbol")
_envelope = msgspec.json.Decoder(_Envelope).decode
_data = msgspec.json.Decoder(_Data).decode
_row = msgspec.json.Decoder(Row).decode
ids = msgspec.json.Decoder(Ids).decode


def read(value: bytes, partition: int = 0, offset: int = -1) -> Record:
    """Read one record of ``md.klines.v1`` or ``md.klines-live.v1``; raise Poison.

    ``offset`` is told of the first only: it says what the warehouse must have to hold it.
    """
    try:
        envelope = _envelope(value)
        if not value.isascii():
            value.decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise Poison(f"no candle record: {e}", payload=value) from e
    if len(set(map(_symbol, envelope.data))) > 1:
        raise Poison("candles of several symbols in one record", payload=value)
    return Record(value, envelope, partition, offset)


def stored(text: str) -> Candle:
    """Return a row of the warehouse as a candle."""
    row = _row(text)
    return Candle(row.timestamp, row.version, row.closed, row.trade_count, text)
