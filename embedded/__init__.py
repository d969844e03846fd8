"""Real servers as child processes from wheels: the log, the live store, the history, the analytics.

Reads: a data folder. Writes: the same. Imports nothing of the service.
"""
