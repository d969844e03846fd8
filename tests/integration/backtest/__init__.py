"""Backtests on a real log."""
