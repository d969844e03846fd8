"""The read models: pure folds of the log and the stores that hold them.

Reads: events. Writes: Redis (live), Postgres (history), Chroma (analytics), files (archive).
May import: events.
"""
