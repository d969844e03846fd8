"""One file per step, in the order of their numbers.

Reads: nothing. Writes: Postgres, the schema that is first on the search path. May import: nothing of ours.
"""
