"""Decides when a budget raises an alert.

Reads: budgets, spend and the ids of alerts raised before. Writes: AlertRaised, through the outbox.
May import: projections, events.
"""
