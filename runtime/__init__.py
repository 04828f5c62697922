"""Settings, logs, metrics, supervision, errors and embedded servers; knows no market data."""
