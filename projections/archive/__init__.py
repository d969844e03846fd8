"""The archive: closed segments of the log as Avro files with a chain of manifests.

Reads: events. Writes: files. May import: events, and of projections the port of a sink and its errors.
"""
