"""What the ingestor counts. Counts are collected per frame and reported a few times a second."""

from prometheus_client import Counter, Gauge, Histogram

_MARKET = ["exchange", "channel"]

frames = Counter("fibstream_ingest_frames", "Frames received from the venue.", _MARKET)
trades = Counter("fibstream_ingest_trades", "Trades taken for publishing.", _MARKET)
duplicates = Counter(
    "fibstream_ingest_duplicates", "Trades dropped because their id was seen before.", _MARKET
)
refused = Counter("fibstream_ingest_refused", "Frames that could not be read.", _MARKET)
dead_letters_suppressed = Counter(
    "fibstream_ingest_dead_letters_suppressed",
    "Unreadable frames above the rate or the number of dead letters that are kept.",
)
connection_failures = Counter(
    "fibstream_ingest_connection_failures", "Connection attempts that failed.", _MARKET
)
reconnects = Counter(
    "fibstream_ingest_reconnects", "Connections that ended, by reason.", [*_MARKET, "reason"]
)
sockets_live = Gauge(
    "fibstream_ingest_sockets_live", "Sockets subscribed and acknowledged.", _MARKET
)
event_lag_ms = Histogram(
    "fibstream_ingest_event_lag_ms",
    "Receive time minus the venue's trade time, sampled; clocks differ, so it may be negative.",
    _MARKET,
    buckets=(-1000, -100, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 60_000),
)
publish_seconds = Histogram(
    "fibstream_ingest_publish_seconds",
    "From handing a record to the producer to Kafka's acknowledgement.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
)
buffered_rows = Gauge(
    "fibstream_ingest_buffered_rows", "Trades received and not yet acknowledged by Kafka."
)
paused = Gauge("fibstream_ingest_paused", "1 while sockets are not read because Kafka is behind.")
rest_retries = Counter("fibstream_ingest_rest_retries", "REST requests that were repeated.")
updates = Counter(
    "fibstream_ingest_updates", "Rows taken for publishing that are no trades.", [*_MARKET, "kind"]
)
stream_gaps = Counter(
    "fibstream_ingest_stream_gaps",
    "Streams that did not deliver or could not be trusted, found and recovered.",
    [*_MARKET, "kind", "reason", "state"],
)
polls = Counter("fibstream_ingest_polls", "REST polls, by outcome.", [*_MARKET, "kind", "outcome"])
controls_refused = Counter(
    "fibstream_ingest_controls_refused", "Records of md.control.v1 that could not be obeyed."
)
rest_waited_seconds = Counter(
    "fibstream_ingest_rest_waited_seconds",
    "Time that REST requests waited for the budget of their host.",
    ["exchange"],
)
rest_budget_unshared = Gauge(
    "fibstream_ingest_rest_budget_unshared",
    "1 while Redis is away and this process counts its REST requests alone.",
    ["exchange"],
)
