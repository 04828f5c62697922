-- Where windows open is part of a candle's identity, and where they end is no sum any more: months,
-- and days of a time zone, differ in length. No row is copied: in the key of older ones it is ''.
ALTER TABLE klines
    ADD COLUMN IF NOT EXISTS anchor LowCardinality(String)
        COMMENT 'mon, month, tz=Asia/Tokyo, funding; empty: multiples of interval_ms' AFTER interval_ms,
    ADD COLUMN IF NOT EXISTS close_time DateTime64(3, 'UTC')
        DEFAULT open_time + toIntervalMillisecond(interval_ms) CODEC(Delta, ZSTD(1)) AFTER open_time,
    MODIFY ORDER BY (exchange, channel, symbol, interval_ms, open_time, anchor);

CREATE OR REPLACE VIEW candles AS
WITH
    arrayFilter(part -> part NOT IN ('', 'month'), splitByChar('@', anchor)) AS anchors,
    multiIf(
        startsWith(anchor, 'month'), concat(toString(intDiv(interval_ms, 2592000000)), 'M'),
        hasAny(anchors, ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']),
        concat(toString(intDiv(interval_ms, 604800000)), 'w'),
        interval_ms % 86400000 = 0, concat(toString(intDiv(interval_ms, 86400000)), 'D'),
        interval_ms % 3600000 = 0, concat(toString(intDiv(interval_ms, 3600000)), 'h'),
        interval_ms % 60000 = 0, concat(toString(intDiv(interval_ms, 60000)), 'm'),
        concat(toString(intDiv(interval_ms, 1000)), 's')
    ) AS length
SELECT
    exchange,
    channel,
    symbol,
    arrayStringConcat(arrayPushFront(anchors, length), '@') AS interval,
    interval_ms,
    anchor,
    open_time,
    close_time,
    open, high, low, close,
    volume, quote_volume, taker_buy_volume, taker_buy_quote_volume,
    trade_count, first_id, last_id, closed, rev, cause, quality, missing, recv_time
FROM klines FINAL;
