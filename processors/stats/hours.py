"""Minutes and the hours they stand in: what 24 hours of candles add up to, exactly.

An hour is also what is written to the changelog at once, so that a new minute does not write the
1,440 of the day again. Sums are made by the hour and kept until a minute in it changes.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

import msgspec

from schemas.intervals import MINUTE_MS
from schemas.klines import Kline, Quality

HOUR_MINUTES = 60
DIGITS_MAX = 120  # of one number of a candle
MAGNITUDE_MAX = 60
AT_MAX = 9_999_999_999_999 // MINUTE_MS  # until 2286
# Wide enough for a day of such numbers: a sum that had to be rounded would be a bug.
EXACT = Context(prec=300, traps=[Inexact, InvalidOperation])
_CHECK = Context(prec=DIGITS_MAX, traps=[])


class Minute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the statistics need of one candle; ``version`` is the candle's."""

    at: int
    """Minutes since 1970."""
    version: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    buy_volume: Decimal
    count: int
    quality: Quality

    @property
    def is_flat(self) -> bool:
        """Say whether it was drawn for want of a trade: its prices are of an earlier one."""
        return not self.count and not self.volume


def minute_of(kline: Kline, at: int) -> Minute:
    """Return the minute of a candle; raise ValueError where a number is none to compute with."""
    numbers = (
        *(kline.open, kline.high, kline.low, kline.close),
        *(kline.volume, kline.quote_volume, kline.taker_buy_volume),
    )
    if not 0 <= at <= AT_MAX:
        raise ValueError(f"{kline.symbol}: {kline.timestamp} is no time in ms")
    for number in numbers:
        if not number.is_finite() or abs(number.adjusted()) > MAGNITUDE_MAX:
            raise ValueError(f"{kline.symbol}: {number} is no number to compute with")
        if number != _CHECK.plus(number):
            raise ValueError(f"{kline.symbol}: a number has more than {DIGITS_MAX} digits")
    return Minute(at, kline.version, *numbers, kline.trade_count, kline.quality)


class Sums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What minutes add up to; ``open``, ``high`` and ``low`` are None without a trade."""

    open: Decimal | None = None
    high: Decimal | None = None
    low: Decimal | None = None
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    buy_volume: Decimal = Decimal(0)
    count: int = 0
    candles: int = 0
    gaps: int = 0
    proven: int = 0


class _Record(msgspec.Struct, array_like=True):
    sums: Sums
    minutes: msgspec.Raw


class Hour:
    """The minutes of one hour, and their sums.

    A thousand symbols have a million and a half of minutes: what nobody asks for stays text.
    """

    __slots__ = ("_minutes", "_packed", "_sums")

    def __init__(self, record: bytes | None = None) -> None:
        """Take what ``pack`` returned; raise MsgspecError."""
        self._minutes: dict[int, Minute] | None = {} if record is None else None
        self._packed = None if record is None else _decode_record(record)
        self._sums = self._packed.sums if self._packed else None

    @property
    def minutes(self) -> dict[int, Minute]:
        """Return the minutes by their number."""
        if self._minutes is None:
            packed = _decode_minutes(self._packed.minutes) if self._packed else []
            self._minutes = {minute.at: minute for minute in packed}
        return self._minutes

    @property
    def sums(self) -> Sums:
        """Return what its minutes add up to."""
        if self._sums is None:
            self._sums = _summed(self.minutes)
        return self._sums

    def add(self, minute: Minute) -> None:
        """Take a minute, instead of an older revision of it."""
        self.minutes[minute.at] = minute
        self._packed = self._sums = None

    def cut(self, begin: int) -> None:
        """Forget what lies before ``begin``."""
        for at in [at for at in self.minutes if at < begin]:
            del self.minutes[at]
            self._packed = self._sums = None

    def pack(self) -> bytes:
        """Return the record of the hour, and refer to it from now on."""
        minutes = _encode(list(self.minutes.values()))
        record = _encode(_Record(self.sums, msgspec.Raw(minutes)))
        self._packed = _decode_record(record)  # a view: the changelog's store has the bytes too
        return record

    def rest(self) -> None:
        """Keep the text only, where there is one."""
        if self._packed is not None:
            self._minutes = None


def total(hours: Iterable[Hour]) -> Sums:
    """Return what hours add up to, the oldest first."""
    parts = [hour.sums for hour in hours]
    traded = [part for part in parts if part.open is not None]
    with localcontext(EXACT):
        return Sums(
            traded[0].open if traded else None,
            max((part.high for part in traded if part.high is not None), default=None),
            min((part.low for part in traded if part.low is not None), default=None),
            sum((part.volume for part in parts), Decimal(0)),
            sum((part.quote_volume for part in parts), Decimal(0)),
            sum((part.buy_volume for part in parts), Decimal(0)),
            sum(part.count for part in parts),
            sum(part.candles for part in parts),
            sum(part.gaps for part in parts),
            sum(part.proven for part in parts),
        )


_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_minutes = msgspec.json.Decoder(list[Minute]).decode


def _summed(minutes: dict[int, Minute]) -> Sums:
    traded = [minutes[at] for at in sorted(minutes) if not minutes[at].is_flat]
    gaps = sum(minute.quality == "gap" for minute in minutes.values())
    if not traded:
        return Sums(gaps=gaps)
    with localcontext(EXACT):
        return Sums(
            traded[0].open,
            max([minute.high for minute in traded]),
            min([minute.low for minute in traded]),
            sum([minute.volume for minute in traded], Decimal(0)),
            sum([minute.quote_volume for minute in traded], Decimal(0)),
            sum([minute.buy_volume for minute in traded], Decimal(0)),
            sum([minute.count for minute in traded]),
            len(traded),
            gaps,
            sum([minute.quality == "proven" for minute in traded]),
        )
