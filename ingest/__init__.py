"""Venues to Kafka."""
