"""The contract in Python: what an event is, how it is framed, appended and read.

Reads: `schemas/` (Avro, one folder an event type) and the log. Writes: the log. Imports nothing of Interlock.
"""
