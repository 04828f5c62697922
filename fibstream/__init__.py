"""The command: the one place that composes stages."""
