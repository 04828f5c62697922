"""What every sink counts. A record is stored, or refused and set aside: nothing else ends one."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("fibstream_sink_records", "Records committed.", ["sink", "topic"])
REFUSED = Counter(
    "fibstream_sink_refused_records", "Records set aside to the dead letters.", ["sink", "topic"]
)
MUTED = Counter(
    "fibstream_sink_muted_rows",
    "Rows left out because the operator said so (md.control.v1).",
    ["knob", "topic"],
)
CONTROLS_REFUSED = Counter(
    "fibstream_sink_controls_refused", "Records of md.control.v1 that could not be obeyed."
)
RETRIES = Counter("fibstream_sink_retries", "Writes repeated while a store was away.", ["sink"])
HELD = Gauge("fibstream_sink_held", "1 while the store is away and partitions wait.", ["sink"])
LAG = Gauge(
    "fibstream_sink_lag_records",
    "Records of a partition that are not committed.",
    ["sink", "topic", "partition"],
)
WRITE = Histogram(
    "fibstream_sink_write_seconds",
    "From a batch's first try to its end in the store.",
    ["sink"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TABLE_ROWS = Counter("fibstream_sink_table_rows", "Rows inserted, repeated ones too.", ["table"])
TABLE_INSERT = Histogram(
    "fibstream_sink_table_insert_seconds",
    "One insert of a batch's rows into one table.",
    ["table"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
DELAY = Histogram(
    "fibstream_sink_delay_seconds",
    "From a record's entry into Kafka to the store, of each batch's oldest record.",
    ["sink"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
QUERIES = Counter(
    "fibstream_sink_queries", "Queries answered by the SQL endpoint.", ["outcome"]
)  # ok, refused, failed, busy
