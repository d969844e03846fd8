"""Naive folds in other words than the production code's, for proofs of equality.

Reads: events. Writes: nothing. May import: events only.
"""
