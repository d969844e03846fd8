"""Backfill: a part of a live projection made anew from the past, where it stands, while its sink goes on.

Reads: the log by ranges and its archive, rows and rollups of the history. Writes: rows and rollups of the history, only those
that are not what they should be. Nothing is appended to the log. May import: processors, projections, events.
"""
