"""What became of each stream, and which symbols there are: told once, then when it changes."""

from collections.abc import Collection, Iterable, Iterator

import msgspec

from ingest.exchanges.base import Instrument
from ingest.outgoing import Record
from schemas.control import ALIVE, RUNNING, STOPPED, InstrumentRow, StreamState, StreamStatus
from schemas.streams import StreamKey
from schemas.topics import INSTRUMENTS, STREAMS, symbol_key
from schemas.trades import Channel

BEAT_EVERY_MS = 1_000

_encode = msgspec.json.Encoder().encode


class StatusBoard:
    """The streams and symbols of an ingestor; what waits to be told has one entry a key."""

    def __init__(self, topic_prefix: str, share: str = "1/1") -> None:
        self._prefix = topic_prefix
        self._share = share
        self._statuses: dict[StreamKey, StreamStatus] = {}
        self._instruments: dict[tuple[str, Channel, str], InstrumentRow] = {}
        self._waiting: dict[tuple[str, bytes], StreamStatus | InstrumentRow] = {}

    def set(self, key: StreamKey, state: StreamState, now_ms: int, detail: str = "") -> None:
        """Note the state of a stream; saying it again changes nothing, nor since when it is so."""
        known = self._statuses.get(key)
        if known is not None and (known.state, known.detail) == (state, detail):
            return
        since_ms = known.since_ms if known is not None and known.state == state else now_ms
        status = StreamStatus(**key._asdict(), state=state, since_ms=since_ms, detail=detail)
        self._statuses[key] = status
        self._waiting[STREAMS.name, str(key).encode()] = status

    def beat(self, exchange: str, channel: Channel, now_ms: int) -> None:
        """Say that the ingestor of a market lives; once a second is enough."""
        key = StreamKey(exchange, channel, ALIVE + self._share, "trades", "ws")
        known = self._statuses.get(key)
        if known is None or now_ms - known.since_ms >= BEAT_EVERY_MS:
            self._statuses.pop(key, None)
            self.set(key, "live", now_ms)

    def get(self, key: StreamKey) -> StreamStatus | None:
        """Return what was noted last."""
        return self._statuses.get(key)

    def stop_all(self, now_ms: int, detail: str = STOPPED) -> None:
        """Note that no stream runs any more: the last thing that an ingestor says."""
        for key, status in list(self._statuses.items()):
            if status.state in RUNNING:
                self.set(key, "stopped", now_ms, detail)

    def stop_others(
        self, told: Iterable[StreamKey], mine: Collection[StreamKey], now_ms: int
    ) -> None:
        """Note as stopped what an earlier run told of (``told_before``) and this one leaves out."""
        for key in told:
            if key not in mine and key not in self._statuses:
                self.set(key, "stopped", now_ms, "no ingestor streams it any more")

    def list_instruments(
        self, exchange: str, channel: Channel, instruments: Iterable[Instrument]
    ) -> None:
        """Note the symbols of a market."""
        for instrument in instruments:
            row = instrument_row(exchange, channel, instrument)
            if self._instruments.get((exchange, channel, row.symbol)) != row:
                self._instruments[exchange, channel, row.symbol] = row
                key = symbol_key(exchange, channel, row.symbol)
                self._waiting[INSTRUMENTS.name, key] = row

    def records(self) -> Iterator[Record]:
        """Yield what is to be told, the longest waiting first, and forget it."""
        waiting, self._waiting = self._waiting, {}
        for (topic, key), value in waiting.items():
            yield Record(self._prefix + topic, None, key, _encode(value), 0)


def instrument_row(exchange: str, channel: Channel, instrument: Instrument) -> InstrumentRow:
    """Return an instrument as it crosses the topic."""
    i = instrument
    return InstrumentRow(
        exchange=exchange,
        channel=channel,
        symbol=i.symbol,
        unified=i.unified,
        status=i.status,
        is_streamed=i.is_streamed,
        tick=i.tick,
        step=i.step,
        contract_size=i.contract_size,
    )
