"""Proof of the projections: each against a naive fold of the log, at the same position vector.

Reads: the log by ranges, the live store, the history, the archive. Writes: nothing, but for a repair, which empties a
slot that differs so that its worker folds it anew.
May import: processors, projections, events.
"""
