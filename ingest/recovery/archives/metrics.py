"""What reading archives counts."""

from prometheus_client import Counter

_EXCHANGE = ["exchange"]

files = Counter(
    "fibstream_archive_files",
    "Files asked for, by what became of them: whole, kept, missing, damaged.",
    [*_EXCHANGE, "result"],
)
replaced = Counter(
    "fibstream_archive_replaced_files", "Files that were another one when read before.", _EXCHANGE
)
bytes_received = Counter("fibstream_archive_received_bytes", "Bytes of files.", _EXCHANGE)
trades = Counter("fibstream_archive_trades", "Trades given from files.", _EXCHANGE)
