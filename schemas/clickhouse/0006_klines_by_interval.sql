-- The interval stands before the symbol in the key: the last day of 1h candles of every symbol is
-- one short stretch of the table, no longer a granule a symbol (measured, 200 symbols with a month
-- of 1m: 165 ms before, 10 ms now); a month of one symbol reads what it read. Columns that grow
-- are told as differences: an eighth less on disk.
--
-- Its rows of one minute are the minute rows from which any interval is served. They are made by
-- the engine, which counts a trade once. A materialised view that sums trades would not: it sees
-- inserts, not rows, so a batch that is inserted again after a crash would count twice.
CREATE OR REPLACE TABLE klines
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    interval_ms Int64 CODEC(ZSTD(1)),
    anchor LowCardinality(String)
        COMMENT 'mon, month, tz=Asia/Tokyo, funding; empty: multiples of interval_ms',
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    close_time DateTime64(3, 'UTC')
        DEFAULT open_time + toIntervalMillisecond(interval_ms) CODEC(DoubleDelta, ZSTD(1)),
    open Decimal(38, 12) CODEC(ZSTD(1)),
    high Decimal(38, 12) CODEC(ZSTD(1)),
    low Decimal(38, 12) CODEC(ZSTD(1)),
    close Decimal(38, 12) CODEC(ZSTD(1)),
    volume Decimal(38, 12) COMMENT 'In the base coin' CODEC(ZSTD(1)),
    quote_volume Decimal(38, 18) COMMENT 'In the quote coin' CODEC(ZSTD(1)),
    taker_buy_volume Decimal(38, 12) CODEC(ZSTD(1)),
    taker_buy_quote_volume Decimal(38, 18) CODEC(ZSTD(1)),
    trade_count Int64 COMMENT 'As the venue counts' CODEC(Delta, ZSTD(1)),
    first_id Int64 CODEC(Delta, ZSTD(1)),
    last_id Int64 CODEC(Delta, ZSTD(1)),
    closed Bool CODEC(ZSTD(1)),
    rev Int64 COMMENT 'Offset of the last record that changed it or its proof'
        CODEC(Delta, ZSTD(1)),
    cause LowCardinality(String) COMMENT 'live, late, rest, archive or venue',
    quality LowCardinality(String) COMMENT 'proven, assumed or gap',
    missing Int64 COMMENT 'Ids that may belong here and never came' CODEC(ZSTD(1)),
    recv_time DateTime64(3, 'UTC') COMMENT 'When the newest trade was received'
        CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT '2 * rev + closed' CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(open_time)
ORDER BY (exchange, channel, interval_ms, symbol, open_time, anchor)
AS SELECT
    exchange, channel, symbol, interval_ms, anchor, open_time, close_time, open, high, low, close,
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume, trade_count, first_id, last_id,
    closed, rev, cause, quality, missing, recv_time, version
FROM klines;

-- The closed candles of one minute.
CREATE OR REPLACE VIEW minutes AS
SELECT
    exchange, channel, symbol, open_time, open, high, low, close,
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume,
    trade_count, first_id, last_id, quality, missing
FROM klines FINAL
WHERE interval_ms = 60000 AND anchor = '' AND closed;
