"""Who is connected, and the series of a symbol: what the hub keeps of either."""

from collections.abc import Callable

from sinks.gateway.candles import Record
from sinks.gateway.gaps import Market
from sinks.gateway.history import Series
from sinks.gateway.loads import Load
from sinks.gateway.outbox import Outbox, Update
from sinks.gateway.protocol import Key


class Client:
    """One connection; ``notify`` is called when there is something to send or it is dropped."""

    def __init__(self, notify: Callable[[], None], outbox: Outbox, *, wants_stats: bool) -> None:
        self.outbox = outbox
        self.wants_stats = wants_stats
        self.keys: set[Key] = set()
        self.loads: dict[Key, Load] = {}
        """By series: the snapshots that are still to come."""
        self.dropped: str | None = None
        self._notify = notify

    def tell(self, text: str) -> None:
        """Queue a whole message."""
        self.outbox.put_text(text)
        self._notify()

    def tell_stats(self, text: str) -> None:
        """Queue the statistics in the place of older ones."""
        self.outbox.put_stats(text)
        self._notify()

    def give(self, update: Update) -> bool:
        """Queue a candle; return False when the client is too slow to get any more."""
        self.outbox.put(update)
        self._notify()
        return not self.outbox.is_full

    def drop(self, reason: str) -> None:
        """Part with the client: nothing more is kept for it."""
        self.dropped = reason
        self.outbox.clear()
        self._notify()


class Symbol:
    """The series of one symbol on one market, by (length, anchor).

    Most records only let the same open candles grow, and most of those nobody has asked for: the
    ``latest`` such record stands for them until ``refresh``.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.series: dict[tuple[int, str], Series] = {}
        self.shortest: Series | None = None
        self.latest: Record | None = None
        self.rows: list[Series] = []
        """The series of each row of ``latest``."""
        self._is_fresh = True

    def grows_by(self, record: Record) -> bool:
        """Say whether a record is the next state of the very candles in the latest one."""
        latest = self.latest
        if (
            latest is None
            or record.rows[0].rev <= latest.rows[0].rev
            or record.windows != latest.windows
        ):
            return False
        self._is_fresh = False
        return True

    def refresh(self) -> None:
        """Bring every open candle up to the latest record; the next one is looked at whole."""
        latest, self.latest = self.latest, None
        if latest is None or self._is_fresh:
            return
        self._is_fresh = True
        for at, series in enumerate(self.rows):
            candle = series.candles.get(latest.rows[at].timestamp)
            if candle is not None and candle.version < latest.rows[at].version:
                latest.renew(candle, at)
                series.recv_ms = max(series.recv_ms, latest.recv_ms)
