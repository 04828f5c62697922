-- Every revision of a candle; of two rows with one identity the higher version is true.
CREATE TABLE IF NOT EXISTS klines
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String),
    interval_ms Int64 CODEC(ZSTD(1)),
    open_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    open Decimal(38, 12) CODEC(ZSTD(1)),
    high Decimal(38, 12) CODEC(ZSTD(1)),
    low Decimal(38, 12) CODEC(ZSTD(1)),
    close Decimal(38, 12) CODEC(ZSTD(1)),
    volume Decimal(38, 12) CODEC(ZSTD(1)),
    quote_volume Decimal(38, 18) CODEC(ZSTD(1)),
    taker_buy_volume Decimal(38, 12) CODEC(ZSTD(1)),
    taker_buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)),
    trade_count Int64 CODEC(ZSTD(1)),
    first_id Int64 CODEC(ZSTD(1)),
    last_id Int64 CODEC(ZSTD(1)),
    closed Bool CODEC(ZSTD(1)),
    rev Int64 COMMENT 'Offset of the last record that changed it or its proof' CODEC(ZSTD(1)),
    cause LowCardinality(String),
    quality LowCardinality(String),
    missing Int64 CODEC(ZSTD(1)),
    recv_time DateTime64(3, 'UTC') COMMENT 'When the newest trade was received' CODEC(ZSTD(1)),
    version UInt64 COMMENT '2 * rev + closed' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(open_time)
ORDER BY (exchange, channel, symbol, interval_ms, open_time);

-- The latest revision of every candle.
CREATE VIEW IF NOT EXISTS candles AS
SELECT
    exchange,
    channel,
    symbol,
    multiIf(
        interval_ms % 86400000 = 0, concat(toString(intDiv(interval_ms, 86400000)), 'D'),
        interval_ms % 3600000 = 0, concat(toString(intDiv(interval_ms, 3600000)), 'h'),
        interval_ms % 60000 = 0, concat(toString(intDiv(interval_ms, 60000)), 'm'),
        concat(toString(intDiv(interval_ms, 1000)), 's')
    ) AS interval,
    interval_ms,
    open_time,
    open_time + toIntervalMillisecond(interval_ms) AS close_time,
    open, high, low, close,
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume,
    trade_count, first_id, last_id, closed, rev, cause, quality, missing, recv_time
FROM klines FINAL;
