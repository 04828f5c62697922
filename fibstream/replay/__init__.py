"""``fibstream replay``: recorded frames through the production parser and engine, without Kafka.

Nothing reads a clock: the same recordings give the same rows, on any day and any machine.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import orjson

from fibstream.replay.candles import ReplayedCandles
from fibstream.replay.summary import Summary
from fibstream.replay.tape import Tape
from ingest.decimals import Unfit
from ingest.dedup import SeenIds
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import TradeRow
from ingest.recording import Refused, read_events
from runtime.errors import Misconfigured, PipelineError
from runtime.settings import Settings
from schemas.intervals import BadInterval, parse_intervals
from schemas.numbers import text
from schemas.trades import Channel

Target = Literal["events", "klines"]
BUFFER_BYTES = 64 << 10


class Incomplete(PipelineError):  # noqa: N818 - reads as the claim it makes
    """The rows do not hold all that the recordings hold, or should hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to read and what to make of it; ``settings`` say how candles are made."""

    exchange: str
    channel: str
    files: Sequence[str]
    to: str
    settings: Settings
    intervals: str | None = None
    """Comma separated; None means those of the settings."""
    is_strict: bool = False
    as_json: bool = False


def run_replay(options: ReplayOptions) -> None:
    """Write rows to stdout and the summary to stderr; raise Misconfigured or Incomplete."""
    replay = Replay(options)
    try:
        with open(sys.stdout.fileno(), "wb", BUFFER_BYTES, closefd=False) as out:
            out.writelines(replay.rows())
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except OSError as e:  # of stdout: the tape keeps those of its files
        raise Incomplete(f"stdout cannot be written to ({e.strerror})") from e
    summary, damaged = replay.summary, replay.tape.damaged
    told = orjson.dumps(summary.as_dict()).decode() if options.as_json else summary.as_text()
    print(told, file=sys.stderr)  # noqa: T201 - stdout belongs to the rows
    if damaged:
        raise Incomplete("what was readable is above, but:\n  " + "\n  ".join(damaged))
    if options.is_strict and summary.refused_count:
        raise Incomplete(f"{summary.refused_count} frames were refused (--strict)")


class Replay:
    """One pass over the recordings; ``summary`` grows while ``rows`` is read."""

    def __init__(self, options: ReplayOptions) -> None:
        _check(options)
        self.tape = Tape(options.files)
        self.summary = Summary()
        self._exchange = options.exchange
        self._channel = cast("Channel", options.channel)
        self._to = options.to
        self._settings = options.settings
        self._lengths = _lengths(options)
        self._has_dense_ids = EXCHANGES[self._exchange].markets[self._channel].dense_ids
        self._seen: dict[str, SeenIds] = {}

    def rows(self) -> Iterator[bytes]:
        """Yield JSON objects, a line each, and keep the summary."""
        rows = self._events() if self._to == "events" else self._klines()
        for row in rows:
            self.summary.rows += 1
            yield row
        self.summary.frames = self.tape.frames

    def _trades(self) -> Iterator[TradeRow]:
        """Yield the trades that were not seen before, as the ingestor would take them."""
        kinds, seen = self.summary.events, self._seen
        for event in read_events(self.tape, self._exchange, self._channel):
            if type(event) is TradeRow:
                kinds[event.kind] += 1
                ids = seen.get(event.symbol)
                if ids is None:
                    ids = seen[event.symbol] = SeenIds()
                if ids.is_new(event.id) or not self._has_dense_ids:
                    yield event
                else:
                    self.summary.duplicates += 1
            elif isinstance(event, Refused):
                self._refuse(event.reason)
            else:
                kinds[event.kind] += 1

    def _events(self) -> Iterator[bytes]:
        head = f'{{"exchange":"{self._exchange}","channel":"{self._channel}","symbol":'
        names: dict[str, str] = {}
        for t in self._trades():
            name = names.get(t.symbol)
            if name is None:
                name = names[t.symbol] = orjson.dumps(t.symbol).decode()
            yield (
                f'{head}{name},"id":{t.id},"ts":{t.ts},"price":{text(t.price, t.price_scale)}'
                f',"qty":{text(t.qty, t.qty_scale)},"side":{t.side},"flags":{t.flags}'
                f',"first":{t.first},"last":{t.last}}}\n'
            ).encode()

    def _klines(self) -> Iterator[bytes]:
        tape = self.tape
        candles = ReplayedCandles(self._exchange, self._channel, self._lengths, self._settings)
        for trade in self._trades():
            try:
                is_due = candles.add(trade, tape.recv_ns)
            except Unfit as e:
                self._refuse(str(e))
                continue
            if is_due:
                yield from candles.rows(is_last_file=tape.is_last)
        yield from candles.rest(tape.recv_ns)
        self.summary.notes = candles.notes()

    def _refuse(self, reason: str) -> None:
        self.summary.refuse(reason, f"{self.tape.file}:{self.tape.line}")


def _check(options: ReplayOptions) -> None:
    venue = EXCHANGES.get(options.exchange)
    if venue is None:
        raise _unknown("--exchange", options.exchange, EXCHANGES)
    if options.channel not in venue.markets:
        raise _unknown("--channel", options.channel, venue.markets)
    if options.to not in get_args(Target):
        raise _unknown("--to", options.to, get_args(Target))


def _lengths(options: ReplayOptions) -> tuple[int, ...]:
    if options.intervals is None:
        return parse_intervals(options.settings.kline_intervals)
    try:
        return parse_intervals(options.intervals.split(","))
    except BadInterval as e:
        remedy = "Example: --intervals 1m,5m,173m"
        raise Misconfigured("--intervals", str(e), remedy=remedy) from e


def _unknown(option: str, name: str, known: Iterable[str]) -> Misconfigured:
    return Misconfigured(option, f"{name!r} is unknown", remedy=f"Known: {', '.join(known)}.")
