"""Retention: what may go of each store, by policy, and only when nobody still needs it.

Reads: history, archive, the log. Writes: Postgres, files, the log's begin, the audit topic. May import: events,
projections.history, projections.archive.
"""
