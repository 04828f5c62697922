"""Candles to people and programs: a WebSocket, a small API and a page."""
