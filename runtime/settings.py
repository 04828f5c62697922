"""Every setting of every process: ``STREAMER_*`` in the environment or in ``.env``.

An empty value means "not set", so that a copied ``.env.example`` changes nothing. Addresses left
empty (Kafka, ClickHouse, Redis) mean the embedded server that ``fibstream up`` starts.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.errors import Misconfigured

Names = Annotated[tuple[str, ...], NoDecode]  # "a,b" in the environment


class Settings(BaseSettings):
    """Read once at start and passed on; nothing reads the environment later."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # -- what to stream
    exchange: str = Field("binance", description="The exchange of this ingestor.")
    exchange_symbols: Names = Field(
        ("BTCUSDT", "ETHUSDT"), description="Symbols, comma separated, as the exchange names them."
    )
    exchange_load_all_symbols: bool = Field(False, description="Stream every trading symbol.")
    exchange_symbols_limit: int | None = Field(
        None, ge=1, description="With load_all_symbols: at most this many, busiest first."
    )
    exchange_socket_pool_size: int = Field(
        100, ge=1, le=200, description="Streams packed on one WebSocket."
    )
    enable_linear_stream: bool = Field(True, description="Linear perpetuals.")
    enable_spot_stream: bool = Field(False, description="Spot markets.")
    stream_kinds: Names = Field(
        ("trades",),
        description="Of: trades, tickers, books, funding, open-interest, liquidations, "
        "venue-klines; `all` for what the exchange has.",
    )
    exchange_share: str = Field(
        "1/1", description="Of several ingestors of one exchange: 2/3 streams the second third."
    )
    exchange_hot_pairs: bool = Field(
        False, description="Two sockets for every set of streams; the first arrival wins."
    )

    # -- candles
    kline_intervals: Names = Field(
        ("1s", "1m", "5m", "15m", "1h", "4h", "1D", "173m"),
        description="Intervals, by commas: 1s, 173m, 1w@mon, 1M; `fibonacci` adds the ladder.",
    )
    bars: Names = Field(
        (),
        description="Bars that close by size: tick:1000 (trades), volume:50 (base coin), "
        "dollar:1000000 (quote coin).",
    )
    aggregator_waiter_mode_enabled: bool = Field(
        True, description="Close quiet candles by the clock, not only by the next trade."
    )
    aggregator_waiter_latency_ms: int = Field(
        80, ge=0, le=10_000, description="How long after its end a candle waits for late trades."
    )
    live_update_interval_ms: int = Field(
        250,
        ge=0,
        le=60_000,
        description="Open candles, prices, tickers and books at most this often; 0: every change.",
    )
    book_snapshot_levels: int = Field(
        20, ge=1, le=1_000, description="Levels a side on the topic of book snapshots."
    )
    checkpoint_interval_ms: int = Field(
        1_000, ge=20, le=60_000, description="State reaches the changelog this often."
    )
    checkpoint_records_max: int = Field(
        4_000, ge=1, le=1_000_000, description="... or after this many records."
    )

    # -- workers
    process_workers: int = Field(
        1, ge=1, le=64, description="Workers that `fibstream process` and `up` run side by side."
    )
    process_agents: Names = Field(
        ("klines", "tickers", "books", "stats", "reconciliation"),
        description="Agents of a worker; all workers of one deployment have the same.",
    )
    aggregator_mode: Literal["trades", "klines"] = Field(
        "trades",
        description="trades: candles made of trades; klines: the exchange's own passed on.",
    )
    empty_candles: Literal["venue", "fill", "skip"] = Field(
        "venue",
        description="Windows without a trade: flat candles, none, or what the exchange does.",
    )

    # -- recovery
    recovery_rest_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Of the exchange's REST budget, for missed trades and the past.",
    )
    recovery_settle_ms: int = Field(
        5_000,
        ge=0,
        le=3_600_000,
        description="A gap that still changes is left alone for so long: late trades may fill it.",
    )

    # -- integrity
    integrity_every_s: int = Field(
        3_600, ge=1, description="Seconds between two looks for missing trades in the warehouse."
    )

    # -- Kafka
    kafka_bootstrap: str = Field("", description="host:port,...; empty: the embedded broker.")
    kafka_topic_prefix: str = Field("", description="Put before every topic name.")
    kafka_partitions: int = Field(12, ge=1, le=1_000, description="Partitions of a new topic.")
    kafka_replication: int = Field(1, ge=1, le=9, description="Copies of a new topic.")
    kafka_heap_mb: int = Field(1_024, ge=256, description="Memory of the embedded broker's heap.")

    # -- sinks
    enabled_consumers: Names = Field(
        ("clickhouse", "redis", "websocket"), description="Sinks that `fibstream up` starts."
    )
    clickhouse_url: str = Field(
        "", description="http://user:password@host:8123/database; empty: chDB."
    )
    clickhouse_cluster: str = Field(
        "", description="Name of the cluster whose servers share the tables; empty: one server."
    )
    clickhouse_tables: Names = Field(
        (
            *("trades", "klines", "tickers", "books", "funding", "open_interest"),
            *("liquidations", "gaps", "integrity"),
        ),
        description="Tables that are filled; also ticker_updates, book_updates: every raw update.",
    )
    clickhouse_ttl_trades_days: int = Field(
        0, ge=0, le=36_500, description="Days that trades stay in ClickHouse; 0: for ever."
    )
    clickhouse_ttl_klines_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `klines`."
    )
    clickhouse_ttl_tickers_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `tickers`."
    )
    clickhouse_ttl_ticker_updates_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `ticker_updates`."
    )
    clickhouse_ttl_books_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `books`."
    )
    clickhouse_ttl_book_updates_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `book_updates`."
    )
    clickhouse_ttl_funding_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `funding`."
    )
    clickhouse_ttl_open_interest_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `open_interest`."
    )
    clickhouse_ttl_liquidations_days: int = Field(
        0, ge=0, le=36_500, description="The same for the rows of `liquidations`."
    )
    clickhouse_http_host: str = Field("127.0.0.1", description="Where chDB answers SQL over HTTP.")
    clickhouse_http_port: int = Field(0, ge=0, le=65_535, description="0: any free port.")
    query_timeout_s: int = Field(
        10, ge=1, le=30, description="Seconds that one question to the warehouse may take."
    )
    query_rows_max: int = Field(
        500_000, ge=1, le=2_000_000, description="Rows of one CSV, Arrow or Parquet answer."
    )
    query_json_rows_max: int = Field(
        10_000, ge=1, le=100_000, description="Rows of one JSON answer; the next page has more."
    )
    redis_host: str = Field("", description="Empty: the embedded Redis.")
    redis_port: int = Field(6_379, ge=1, le=65_535, description="Port of STREAMER_REDIS_HOST.")
    redis_user: str = Field("", description="User on that Redis; empty: none.")
    redis_password: str = Field("", repr=False, description="Password on that Redis; empty: none.")
    redis_base: int = Field(0, ge=0, description="Database number.")
    redis_main_key: str = Field("market-data", min_length=1, description="First part of every key.")
    redis_ttl_s: int = Field(86_400, ge=1, description="Lifetime of a last-closed hash.")
    websocket_host: str = Field(
        "127.0.0.1", description="Address of the gateway; 0.0.0.0: reachable from everywhere."
    )
    websocket_port: int = Field(
        9_500, ge=0, le=65_535, description="Port of the gateway and its page; 0: any free port."
    )
    websocket_path: str = Field("/", pattern="^/", description="Path of the gateway's WebSocket.")
    websocket_compression: bool = Field(
        True, description="Messages are compressed for clients that offer permessage-deflate."
    )

    gateway_intervals_on_demand_max: int = Field(
        32,
        ge=0,
        le=64,
        description="Intervals that are made because a client asks for them; 0: none.",
    )

    # -- who may use the gateway
    gateway_key: SecretStr | None = Field(
        None, description="The API key that `fibstream` commands show to the gateway."
    )
    gateway_admin_key_hash: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of a first admin key; `fibstream keys generate` makes both.",
    )
    gateway_anonymous_role: Literal["none", "viewer"] = Field(
        "none", description="What callers without a key may do; viewer: read everything."
    )
    wss_auth_user: str = Field(
        "", description="User of the one client that signs in with user and key; a viewer."
    )
    wss_auth_key: SecretStr | None = Field(
        None, min_length=8, description="The key of STREAMER_WSS_AUTH_USER."
    )
    gateway_jwt_keys: SecretStr | None = Field(
        None,
        description="name:secret,... of 32 characters and more: the first signs tokens, all "
        "verify; empty: no tokens.",
    )
    gateway_jwt_access_s: int = Field(
        900, ge=30, le=86_400, description="Lifetime of an access token."
    )
    gateway_jwt_refresh_s: int = Field(
        604_800, ge=60, le=31_536_000, description="Lifetime of a refresh token."
    )
    gateway_allowed_networks: Names = Field(
        (), description="10.0.0.0/8,...: who may connect at all; empty: everybody."
    )
    gateway_trusted_proxies: Names = Field(
        (), description="Networks whose X-Forwarded-For is believed; empty: nobody's."
    )
    gateway_requests_per_ip_s: int = Field(
        50, ge=1, le=100_000, description="Requests a second of one address; bursts of twice that."
    )
    gateway_requests_per_key_s: int = Field(
        100, ge=1, le=100_000, description="Requests a second of one key; bursts of twice that."
    )
    gateway_connections_max: int = Field(
        10_000, ge=1, le=1_000_000, description="WebSockets of one gateway, all clients together."
    )
    gateway_connections_per_ip_max: int = Field(
        200, ge=1, le=1_000_000, description="WebSockets of one address."
    )
    gateway_connections_per_key_max: int = Field(
        1_000, ge=1, le=1_000_000, description="WebSockets of one key."
    )
    gateway_cors_origins: Names = Field(
        (), description="https://example.org,...: pages elsewhere that may call; empty: none."
    )
    gateway_tls_cert: Path | None = Field(
        None, description="Certificate chain (PEM): the gateway then speaks https and wss."
    )
    gateway_tls_key: Path | None = Field(None, description="Its private key (PEM).")

    # -- where the exchange answers
    exchange_spot_rest_url: str = Field(
        "", description="REST of the spot market; empty: the venue's own address."
    )
    exchange_spot_ws_url: str = Field(
        "", description="WebSocket of the spot market; empty: the venue's own address."
    )
    exchange_linear_rest_url: str = Field(
        "", description="REST of the linear market; empty: the venue's own address."
    )
    exchange_linear_ws_url: str = Field(
        "", description="WebSocket of the linear market; empty: the venue's own address."
    )
    exchange_archive_url: str = Field(
        "", description="Archive of past trades; empty: the venue's own address."
    )

    # -- process
    data_dir: Path = Field(Path("data"), description="Embedded servers keep their data here.")
    metrics_host: str = Field("127.0.0.1", description="Address of each process's metrics.")
    metrics_port: int = Field(
        0, ge=0, le=65_535, description="Prometheus metrics of each process; 0: any free port."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: lines to read in a terminal, JSON elsewhere."
    )
    log_file: Path | None = Field(None, description="Log there too, rotated; empty: only stderr.")

    def environment(self) -> dict[str, str]:
        """Return the settings as the environment of a child process, every one spelled out."""
        return {
            f"STREAMER_{name.upper()}": _text(value) for name, value in self.model_dump().items()
        }

    @field_validator(
        *("exchange_symbols", "stream_kinds", "kline_intervals", "process_agents"),
        "bars",
        *("enabled_consumers", "clickhouse_tables"),
        *("gateway_allowed_networks", "gateway_trusted_proxies", "gateway_cors_origins"),
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def load_settings(**overrides: object) -> Settings:
    """Read the settings, ``overrides`` first; raise Misconfigured naming the first bad one."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as e:
        first = e.errors()[0]
        field = str(first["loc"][0])
        name = "STREAMER_" + field.upper()
        is_secret = field.endswith(("_key", "_keys", "_password"))
        got = "a secret" if is_secret else repr(first["input"])
        raise Misconfigured(
            name,
            f"{first['msg']} (got {got})",
            remedy=f"Set {name} in the environment or in .env; `fibstream doctor` lists them all.",
        ) from e
