-- What is known to be missing, and how the trades were counted.
-- A gap in ids is told again as it shrinks: the last word about a range is its row. When a part of
-- it came, the parts beside it are told as ranges of their own; open_gaps puts them together.
CREATE TABLE IF NOT EXISTS gaps
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    first_id Int64,
    last_id Int64,
    from_time DateTime64(3, 'UTC') COMMENT 'Of the trade before the gap',
    to_time DateTime64(3, 'UTC') COMMENT 'Of the trade after the gap',
    missing Int64 COMMENT 'How many of its ids were missing when it was told last',
    state LowCardinality(String) COMMENT 'found, recovering, recovered or unrecoverable',
    rev Int64 COMMENT 'Offset of the trade record that changed it',
    told_at DateTime64(3, 'UTC') COMMENT 'When that was told',
    version UInt64 COMMENT '4 * rev + how far the state is along'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (exchange, channel, symbol, first_id, last_id);

CREATE TABLE IF NOT EXISTS stream_gaps
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'Empty: every symbol of the socket',
    kind LowCardinality(String) COMMENT 'trades, books, ...',
    reason LowCardinality(String) COMMENT 'silent, disconnected, hole, crossed, checksum, refused',
    from_time DateTime64(3, 'UTC') COMMENT 'By our clock',
    to_time Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was whole again; NULL: it is not',
    detail String,
    version UInt64 COMMENT 'to_time in ms: what is over stays over'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (exchange, channel, symbol, kind, reason, from_time);

CREATE TABLE IF NOT EXISTS integrity
(
    exchange LowCardinality(String),
    channel LowCardinality(String),
    symbol LowCardinality(String) COMMENT 'The name of the venue',
    period LowCardinality(String) COMMENT 'month or day, of UTC',
    period_start Date,
    first_id Int64,
    last_id Int64,
    first_time DateTime64(3, 'UTC') COMMENT 'Of the trade of first_id',
    last_time DateTime64(3, 'UTC') COMMENT 'Of the trade of last_id',
    count UInt64 COMMENT 'Rows that a reader finds',
    duplicates UInt64 COMMENT 'Ids that several of them hold: no gap hides behind them',
    gaps_count UInt64 COMMENT 'Missing ids, in it and between the period before and it',
    unrecoverable UInt64 COMMENT 'Of those, given up for good',
    quality LowCardinality(String) COMMENT 'proven, gap, or assumed: the ids prove nothing',
    trusted Bool COMMENT 'It is over, lacks nothing that may still come, and is not read again',
    checked_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(checked_at)
ORDER BY (exchange, channel, symbol, period, period_start);

CREATE OR REPLACE VIEW integrity_latest AS
SELECT
    exchange, channel, symbol, period, period_start, first_id, last_id, first_time, last_time,
    count, duplicates, gaps_count, unrecoverable, quality, trusted, checked_at
FROM integrity FINAL;

-- Ranges that overlap are one gap. Its ids are still missing that no row of it tells of, and those
-- that were given up; while a recovery runs, fewer may be told than are missing.
CREATE OR REPLACE VIEW open_gaps AS
SELECT
    exchange, channel, symbol,
    min(first) AS first_id,
    max(last) AS last_id,
    min(from_ts) AS from_time,
    max(to_ts) AS to_time,
    toInt64(sumIf(size - came, state = 'unrecoverable')) AS unrecoverable,
    greatest(toInt64(last_id - first_id + 1 - sum(came)), unrecoverable) AS missing,
    multiIf(
        missing = unrecoverable, 'unrecoverable',
        has(groupUniqArray(state), 'recovering'), 'recovering',
        'found'
    ) AS now
FROM
(
    SELECT
        exchange, channel, symbol, state, first, last, size, from_ts, to_ts, came,
        sum(first > before OR number = 0)
            OVER (PARTITION BY exchange, channel, symbol ORDER BY first, last DESC) AS island
    FROM
    (
        SELECT
            exchange, channel, symbol, toString(gaps.state) AS state,
            gaps.first_id AS first, gaps.last_id AS last, last - first + 1 AS size,
            gaps.from_time AS from_ts, gaps.to_time AS to_ts,
            size - gaps.missing AS came,
            max(last) OVER earlier AS before, count() OVER earlier AS number
        FROM gaps FINAL
        WINDOW earlier AS (
            PARTITION BY exchange, channel, symbol ORDER BY first, last DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
)
GROUP BY exchange, channel, symbol, island
HAVING missing > 0;
