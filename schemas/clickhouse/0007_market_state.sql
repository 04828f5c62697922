-- Tickers and books, each twice: the state of a symbol once a second, whole, for everybody; and
-- every update as the venue told it, for who rebuilds (STREAMER_CLICKHOUSE_TABLES names them).
-- A row of state is the last of its second: `rev` decides, so a second may be told again.
CREATE TABLE IF NOT EXISTS tickers
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    time DateTime('UTC') COMMENT 'The second of ts' CODEC(DoubleDelta, ZSTD(1)),
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    is_snapshot Bool COMMENT 'True: what is NULL, the venue does not have' CODEC(ZSTD(1)),
    last_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    last_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    tick_direction LowCardinality(String),
    price_24h_pcnt Nullable(Decimal(38, 18)) COMMENT '0.01 is one percent' CODEC(ZSTD(1)),
    prev_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    prev_price_1h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    high_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    low_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    volume_24h Nullable(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    turnover_24h Nullable(Decimal(38, 18)) COMMENT 'In the quote coin' CODEC(ZSTD(1)),
    trade_count_24h Nullable(Int64) CODEC(ZSTD(1)),
    bid1_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    bid1_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask1_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask1_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    mark_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    usd_index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    open_interest Nullable(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    open_interest_value Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    funding_rate Nullable(Decimal(38, 18)) COMMENT '0.0001 is 0.01 percent' CODEC(ZSTD(1)),
    next_funding_time Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    funding_interval_hour Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    funding_cap Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    update_id Nullable(Int64) COMMENT 'Of the book, where the venue ties its best prices to it'
        CODEC(ZSTD(1)),
    recv_time DateTime64(3, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the ticker record that changed it last' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(rev)
PARTITION BY toYYYYMMDD(time)
ORDER BY (exchange, channel, symbol, time);

CREATE TABLE IF NOT EXISTS ticker_updates
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it: (rev, place) is the order of arrival' CODEC(ZSTD(1)),
    is_snapshot Bool COMMENT 'False: what is NULL is as it was' CODEC(ZSTD(1)),
    last_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    last_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    tick_direction LowCardinality(String),
    price_24h_pcnt Nullable(Decimal(38, 18)) COMMENT '0.01 is one percent' CODEC(ZSTD(1)),
    prev_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    prev_price_1h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    high_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    low_price_24h Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    volume_24h Nullable(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    turnover_24h Nullable(Decimal(38, 18)) COMMENT 'In the quote coin' CODEC(ZSTD(1)),
    trade_count_24h Nullable(Int64) CODEC(ZSTD(1)),
    bid1_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    bid1_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask1_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask1_size Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    mark_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    usd_index_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    open_interest Nullable(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    open_interest_value Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    funding_rate Nullable(Decimal(38, 18)) COMMENT '0.0001 is 0.01 percent' CODEC(ZSTD(1)),
    next_funding_time Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    funding_interval_hour Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    funding_cap Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    update_id Nullable(Int64) CODEC(ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (exchange, channel, symbol, ts, rev, place);

CREATE TABLE IF NOT EXISTS books
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    time DateTime('UTC') COMMENT 'The second of ts' CODEC(DoubleDelta, ZSTD(1)),
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    update_id Int64 CODEC(Delta, ZSTD(1)),
    bid_price Nullable(Decimal(38, 18)) COMMENT 'NULL: that side is empty' CODEC(ZSTD(1)),
    bid_qty Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask_price Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    ask_qty Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    imbalance Nullable(Decimal(38, 18)) COMMENT '(B - A) / (B + A) of the levels' CODEC(ZSTD(1)),
    bid_prices Array(Decimal(38, 18)) COMMENT 'Best first' CODEC(ZSTD(1)),
    bid_qtys Array(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    ask_prices Array(Decimal(38, 18)) COMMENT 'Best first' CODEC(ZSTD(1)),
    ask_qtys Array(Decimal(38, 18)) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    recv_time DateTime64(3, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the book record that it came with' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(rev)
PARTITION BY toYYYYMMDD(time)
ORDER BY (exchange, channel, symbol, time);

CREATE TABLE IF NOT EXISTS book_updates
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue; ours where it tells none'
        CODEC(Delta, ZSTD(1)),
    rev UInt64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it: (rev, place) is the order of arrival' CODEC(ZSTD(1)),
    is_snapshot Bool COMMENT 'It replaces the book; else quantity 0 takes a price out'
        CODEC(ZSTD(1)),
    first_id Int64 COMMENT 'Update ids of the venue' CODEC(Delta, ZSTD(1)),
    last_id Int64 CODEC(Delta, ZSTD(1)),
    prev_id Nullable(Int64) CODEC(Delta, ZSTD(1)),
    price_scale UInt8 COMMENT 'Decimals of the prices below' CODEC(ZSTD(1)),
    qty_scale UInt8 COMMENT 'Decimals of the quantities below' CODEC(ZSTD(1)),
    bid_prices Array(Int64) CODEC(Delta, ZSTD(1)),
    bid_qtys Array(Int64) CODEC(ZSTD(1)),
    ask_prices Array(Int64) CODEC(Delta, ZSTD(1)),
    ask_qtys Array(Int64) CODEC(ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(ts)
ORDER BY (exchange, channel, symbol, ts, rev, place);

-- The best prices at the end of each second.
CREATE OR REPLACE VIEW spreads AS
SELECT
    exchange, channel, symbol, time, bid_price, bid_qty, ask_price, ask_qty,
    ask_price - bid_price AS spread,
    (bid_price + ask_price) / 2 AS mid,
    imbalance
FROM books FINAL;
