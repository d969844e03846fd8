"""Reprice: what recorded calls cost at new prices, and the adjustments that make it so.

Reads: usage and adjustments of the log, and prices. Writes: SpendAdjusted, when it is told to. What a call counts for is
decided in `repricing.py`, which is pure; `run.py` reads and appends, `proof.py` asks the live state. May import:
projections, events.
"""
