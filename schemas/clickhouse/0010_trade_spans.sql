-- The least and the greatest id and time of the trades of a symbol, month by month. The view sees
-- inserts, not rows, so it may hold only what a repeated insert does not change: least and
-- greatest, never a count or a sum.
CREATE TABLE IF NOT EXISTS trade_spans
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    month Date,
    first_id SimpleAggregateFunction(min, Int64),
    last_id SimpleAggregateFunction(max, Int64),
    from_time SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    to_time SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (exchange, channel, symbol, month);

CREATE MATERIALIZED VIEW IF NOT EXISTS trade_spans_filler TO trade_spans AS
SELECT
    exchange, channel, symbol, toStartOfMonth(ts) AS month,
    min(id) AS first_id, max(id) AS last_id, min(ts) AS from_time, max(ts) AS to_time
FROM trades
GROUP BY exchange, channel, symbol, month;

-- What came before there was a view; what comes while this runs is counted by both, and once.
INSERT INTO trade_spans
SELECT
    exchange, channel, symbol, toStartOfMonth(ts) AS month,
    min(id) AS first_id, max(id) AS last_id, min(ts) AS from_time, max(ts) AS to_time
FROM trades
GROUP BY exchange, channel, symbol, month;

-- The newest trade of each symbol, in a millisecond.
CREATE OR REPLACE VIEW last_ids AS
SELECT
    exchange, channel, symbol,
    min(trade_spans.first_id) AS first_id, max(trade_spans.last_id) AS last_id,
    min(trade_spans.from_time) AS from_time, max(trade_spans.to_time) AS to_time
FROM trade_spans
GROUP BY exchange, channel, symbol;
