"""What the recompute worker tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

requests = Counter("fibstream_recompute_requests_total", "Requests done.")
refused = Counter("fibstream_recompute_refused_records_total", "Records that cannot be read.")
candles = Counter(
    "fibstream_recompute_candles_total",
    "Candles computed: published, told (they stand already), or lacking (the warehouse lacks"
    " trades that its own candles know of).",
    ["outcome"],
)
retries = Counter("fibstream_recompute_retries_total", "Tries while something was away.", ["what"])
waiting = Gauge("fibstream_recompute_waiting", "1 while the warehouse has yet to be given trades.")
lag = Gauge("fibstream_recompute_lag_records", "Requests not yet done.", ["partition"])
span = Histogram(
    "fibstream_recompute_span_seconds",
    "From the first look at a span to its last candle's acknowledgement.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
