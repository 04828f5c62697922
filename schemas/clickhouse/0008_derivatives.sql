-- Rows are told apart by where they stand in the log, (rev, place): a record that is delivered
-- twice makes equal rows, which the engine merges, and two equal events stay two.
CREATE TABLE IF NOT EXISTS funding
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it' CODEC(ZSTD(1)),
    funding_rate Nullable(Decimal(38, 18))
        COMMENT 'Of the interval that runs: 0.0001 is 0.01 percent; NULL: not told' CODEC(ZSTD(1)),
    next_funding_time Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    interval_hours Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    mark_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (exchange, channel, symbol, ts, rev, place);

CREATE TABLE IF NOT EXISTS open_interest
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it' CODEC(ZSTD(1)),
    open_interest Decimal(38, 18) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    value Nullable(Decimal(38, 18)) COMMENT 'In the quote coin' CODEC(ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (exchange, channel, symbol, ts, rev, place);

CREATE TABLE IF NOT EXISTS liquidations
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it' CODEC(ZSTD(1)),
    side Int8 COMMENT 'Of the order: -1 sells, so a long was liquidated' CODEC(ZSTD(1)),
    price Decimal(38, 18) COMMENT 'What the venue tells: of the order, bankruptcy or average'
        CODEC(ZSTD(1)),
    qty Decimal(38, 18) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    is_history Bool COMMENT 'Told on subscribing, not as it happened' CODEC(ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (exchange, channel, symbol, ts, rev, place);

-- What was paid: the last rate told before each funding. Told twice, the last is the last still.
CREATE OR REPLACE VIEW funding_rates AS
SELECT
    exchange, channel, symbol,
    next_funding_time AS funding_time,
    argMax(funding.funding_rate, (ts, rev, place)) AS rate,
    max(ts) AS told_at
FROM funding
WHERE funding.funding_rate IS NOT NULL AND next_funding_time IS NOT NULL AND ts < next_funding_time
GROUP BY exchange, channel, symbol, next_funding_time;

CREATE OR REPLACE VIEW liquidations_unique AS
SELECT
    exchange, channel, symbol, ts, if(side < 0, 'long', 'short') AS liquidated, side, price, qty,
    toDecimal256(price, 18) * toDecimal256(qty, 18) AS value, is_history, recv_time
FROM liquidations FINAL;
