"""What the history is asked: pages of events, sums of usage, and how things stood at an instant.

Reads: Postgres, in read-only sessions. Writes: nothing. May import: events, the pure folds of projections.live.
Every text that comes from outside is a bound argument; names of tables and columns come from the code only.
"""
