-- Every trade as it came: fixed-point integers beside their scales, no float on the way.
-- A record that is delivered twice makes equal keys: the engine merges them, trades_unique at once.
CREATE TABLE IF NOT EXISTS trades
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String),
    id Int64 COMMENT 'The gap key of the venue: trade id, or aggregate id' CODEC(Delta, ZSTD(1)),
    uid String COMMENT 'The id of the venue where it is no number' CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') COMMENT 'The time of the venue' CODEC(Delta, ZSTD(1)),
    price_int Int64 CODEC(Delta, ZSTD(1)),
    qty_int Int64 CODEC(T64, ZSTD(1)),
    price_scale UInt8 CODEC(ZSTD(1)),
    qty_scale UInt8 CODEC(ZSTD(1)),
    side Int8 COMMENT 'Of the taker: 1 buys, -1 sells' CODEC(ZSTD(1)),
    flags UInt32 COMMENT '1 non-market, 2 block, 4 RPI, 8 history' CODEC(ZSTD(1)),
    first_id Int64 COMMENT 'First trade inside an aggregate' CODEC(Delta, ZSTD(1)),
    last_id Int64 COMMENT 'Last trade inside an aggregate' CODEC(Delta, ZSTD(1)),
    recv_time DateTime64(9, 'UTC') COMMENT 'When the ingestor had it' CODEC(Delta, ZSTD(1)),
    source LowCardinality(String) COMMENT 'live, rest or archive',
    -- Exact for every Int64 at 0 to 12 decimals: the quotient of a Decimal keeps its 12 decimals.
    price Decimal(38, 12) ALIAS toDecimal128(price_int, 12) / intExp10(price_scale),
    qty Decimal(38, 12) ALIAS toDecimal128(qty_int, 12) / intExp10(qty_scale)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (exchange, channel, symbol, ts, id);

CREATE VIEW IF NOT EXISTS trades_unique AS
SELECT
    exchange, channel, symbol, id, uid, ts, price, qty, side, flags, first_id, last_id,
    recv_time, source, price_int, qty_int, price_scale, qty_scale
FROM trades FINAL;
