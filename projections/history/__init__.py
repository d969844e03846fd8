"""History in Postgres: a table per event type, rollups, queries.

Reads: events. Writes: Postgres. May import: events.
"""
