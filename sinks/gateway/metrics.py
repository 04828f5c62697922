"""What the gateway counts."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("fibstream_gateway_records", "Candle records read.", ["topic"])
REFUSED = Counter("fibstream_gateway_refused_records", "Records that cannot be read.", ["topic"])
CONTROLS = Counter(
    "fibstream_gateway_controls", "Control records, acknowledged by Kafka or not.", ["outcome"]
)
STALE = Counter("fibstream_gateway_stale_rows", "Rows no newer than what is known.")
QUEUED = Counter("fibstream_gateway_queued_rows", "Rows put into the outboxes of clients.")
SENT = Counter("fibstream_gateway_sent_frames", "WebSocket messages sent.")
MESSAGES = Counter("fibstream_gateway_messages", "Messages of clients.", ["outcome"])
LOADS = Counter(
    "fibstream_gateway_loads",
    "Snapshots that needed the warehouse, by what became of it.",
    ["outcome"],
)
WAREHOUSE_SECONDS = Histogram(
    "fibstream_gateway_warehouse_seconds",
    "Questions to the warehouse, answered or not.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
LEFT_OUT = Counter(
    "fibstream_gateway_left_out_rows", "Rows of symbols beyond those that are kept of a kind."
)
KINDS_READ = Gauge("fibstream_gateway_kinds_read", "Kinds whose topic is read just now.", ["kind"])
WAITING = Gauge(
    "fibstream_gateway_waiting_bytes", "What waits for clients that do not keep up, about."
)
CLIENTS = Gauge("fibstream_gateway_clients", "Connected WebSocket clients.")
DROPPED = Counter("fibstream_gateway_dropped_clients", "Clients parted with.", ["reason"])
SERIES = Gauge("fibstream_gateway_series", "Series of candles in memory.")
HISTORY = Gauge("fibstream_gateway_history_bytes", "Candles in memory.")
DELAY = Histogram(
    "fibstream_gateway_delay_seconds",
    "From the ingestor's receipt of a trade to the outboxes of clients, of live updates.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
