"""Benchmarks of whole processes on a real broker; figures are for ratios, machines are noisy."""
