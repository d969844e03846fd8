"""Retention: what may go of each store, by policy, and only when nobody still needs it.

Reads: history, archive. Writes: Postgres, files. May import: events, projections.history, projections.archive.
"""
