"""Quix Streams: tumbling windows of a minute in its RocksDB state, with its changelog.

``plain`` is keyed by symbol as it comes. An ``envelope`` holds many symbols and has no key, so its
groups go through a repartition topic first: 100 trades a record there too.
"""

import os
import tempfile
import threading
import time
from typing import Any

from meter import BOOTSTRAP, FORM, MINUTE_MS, TOPIC, Candle, Meter
from quixstreams import Application

END_WITHIN_S = 8.0
Bar = list[float]

meter = Meter()
closed: list[Candle] = []


def trade_time(value: dict[str, Any], *_: object) -> int:
    """Return the time by which a row's window is chosen."""
    return int(value["timestamp"])


def rows_of(group: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trades of a symbol as rows."""
    columns = zip(group["price"], group["qty"], group["ts"], strict=True)
    return [{"price": p, "quantity": q, "timestamp": at_ms} for p, q, at_ms in columns]


def first_of(row: dict[str, Any]) -> Bar:
    """Return the bar that begins with a trade."""
    meter.count()
    price = row["price"]
    return [price, price, price, price, row["quantity"], 1]


def add(bar: Bar, row: dict[str, Any]) -> Bar:
    """Fold one more trade into a bar."""
    meter.count()
    price = row["price"]
    if price > bar[1]:
        bar[1] = price
    elif price < bar[2]:
        bar[2] = price
    bar[3] = price
    bar[4] += row["quantity"]
    bar[5] += 1
    return bar


def note(window: dict[str, Any], key: bytes | str, *_: object) -> None:
    """Remember a closed candle for the comparison."""
    symbol = key.decode() if isinstance(key, bytes) else key
    opened, high, low, close, volume, trades = window["value"]
    closed.append((symbol, window["start"], opened, high, low, close, volume, int(trades)))


def application(folder: str) -> Application:
    """Return the application: at least once, state and changelog as by default."""
    return Application(
        broker_address=BOOTSTRAP,
        consumer_group=f"peers.quix.{FORM}.{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=folder,
        loglevel="ERROR",
        consumer_extra_config={"fetch.queue.backoff.ms": 2, "fetch.wait.max.ms": 50},
    )


def end(app: Application) -> None:
    """Wait for the last trade, report and leave."""
    while not meter.is_done:
        time.sleep(0.01)
    meter.report(closed)
    app.stop()
    time.sleep(END_WITHIN_S)
    os._exit(0)


def main() -> None:
    """Read the topic once."""
    with tempfile.TemporaryDirectory(prefix="fibstream-quix-") as folder:
        app = application(folder)
        frame = app.dataframe(app.topic(TOPIC, value_deserializer="json"))
        if FORM == "plain":
            frame = frame.apply(lambda record: record["data"], expand=True)
        else:
            frame = frame.apply(lambda batch: batch["symbols"], expand=True)
            frame = frame.group_by("symbol").apply(rows_of, expand=True)
        frame = frame.set_timestamp(trade_time)
        bars = frame.tumbling_window(MINUTE_MS).reduce(add, first_of).final()
        bars = bars.update(note, metadata=True)
        bars.to_topic(app.topic("peers.quix.candles", value_serializer="json"))
        threading.Thread(target=end, args=(app,), daemon=True).start()
        app.run()


main()
