"""Naive folds in other words than the production code's, of what a proof of the live state does not ask for.

The others lie in `processors.verify.naive`, which may be imported. Reads: events. Writes: nothing.
"""
