"""Kafka to Kafka."""
