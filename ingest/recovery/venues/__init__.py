"""The REST interfaces of past trades, one module a venue: data and pure functions."""
