"""Is every trade there? The trust point of each symbol, found by its ids in the warehouse."""
