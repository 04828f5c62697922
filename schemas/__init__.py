"""What crosses a topic: records, the topic catalogue, intervals and the ClickHouse tables."""
