"""What a worker tells Prometheus."""

from prometheus_client import Counter, Gauge

trades = Counter("fibstream_process_trades_total", "Trades folded into candles.")
records = Counter("fibstream_process_records_total", "Records applied.")
repeated = Counter("fibstream_process_repeated_records_total", "Records Faust delivered again.")
holes = Counter("fibstream_process_holes_total", "Records Faust skipped, read again by a seek.")
refused = Counter("fibstream_process_refused_records_total", "Records set aside as unreadable.")
fenced = Counter("fibstream_process_fenced_records_total", "States of late owners not believed.")
outputs = Counter("fibstream_process_outputs_total", "Records published.", ["topic"])
checkpoints = Counter("fibstream_process_checkpoints_total", "Checkpoints written.")
lag = Gauge("fibstream_process_lag_records", "Records not yet read.", ["topic", "partition"])
uncut = Counter(
    "fibstream_process_uncut_trades_total", "Trades too late for their bar, once for each size."
)
symbols = Gauge("fibstream_process_symbols", "Symbols whose state this worker holds.")
duplicates = Gauge("fibstream_process_duplicate_trades", "Trades dropped by their id.")
