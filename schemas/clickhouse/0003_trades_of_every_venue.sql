-- Ids that are no numbers belong in the key, and where ids have no order the order of arrival counts:
-- of a trade that came twice the first one stays.
ALTER TABLE trades
    ADD COLUMN IF NOT EXISTS rev Int64,
    ADD COLUMN IF NOT EXISTS place UInt32,
    ADD COLUMN IF NOT EXISTS contract_size LowCardinality(String);

CREATE OR REPLACE TABLE trades
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String),
    id Int64 COMMENT 'The id of the venue, or its order where uid is set' CODEC(Delta, ZSTD(1)),
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
    contract_size LowCardinality(String) COMMENT 'Coins of a contract, where contracts are traded',
    rev Int64 COMMENT 'Offset of the record that brought it' CODEC(Delta, ZSTD(1)),
    place UInt32 COMMENT 'Place in it: (rev, place) is the order of arrival' CODEC(Delta, ZSTD(1)),
    precedence UInt64 MATERIALIZED 9223372036854775807 - rev CODEC(Delta, ZSTD(1)),
    -- Exact for every Int64 at 0 to 12 decimals: the quotient of a Decimal keeps its 12 decimals.
    price Decimal(38, 12) ALIAS toDecimal128(price_int, 12) / intExp10(price_scale),
    qty Decimal(38, 12) ALIAS toDecimal128(qty_int, 12) / intExp10(qty_scale)
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(ts)
ORDER BY (exchange, channel, symbol, ts, id, uid)
AS SELECT
    exchange, channel, symbol, id, uid, ts, price_int, qty_int, price_scale, qty_scale, side, flags,
    first_id, last_id, recv_time, source, contract_size, rev, place
FROM trades;

CREATE OR REPLACE VIEW trades_unique AS
SELECT
    exchange, channel, symbol, id, uid, ts, price, qty, side, flags, first_id, last_id,
    recv_time, source, price_int, qty_int, price_scale, qty_scale, contract_size, rev, place
FROM trades FINAL;
