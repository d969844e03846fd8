"""The history's schema in steps, forwards and backwards. A released step is never edited.

Reads: nothing. Writes: Postgres, one schema of it. May import: projections.errors.
"""
