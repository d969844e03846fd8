"""Naive folds in other words than the production code's: plain dicts, call by call, for proofs of equality.

Shares nothing with the folds it judges but the events, the codec and the canonical spelling of a state.
Reads: records of the log. Writes: nothing. May import: events.
"""
