"""Backups: copies of the archive up to one position vector, each whole by itself, in a folder of their own.

Reads: events, the archive's files. Writes: files. May import: events, and of projections the archive and its errors.
"""
