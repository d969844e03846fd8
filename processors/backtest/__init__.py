"""Backtest: what was recorded, decided again under other breaker policies, budgets or prices, and what differs.

Reads: usage, budgets, alerts, outcomes, breakers and providers of the log, and a policy. Writes: nothing; the outcome is
returned. The folds are pure, `run.py` alone reads. May import: projections, events.
"""
