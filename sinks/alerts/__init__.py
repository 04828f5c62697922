"""Alerts: rules over topics, judged by a pure machine, delivered once per crossing."""
