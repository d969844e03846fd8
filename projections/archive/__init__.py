"""The archive: closed segments of the log as Avro files with a chain of manifests.

Reads: events. Writes: files. May import: events.
"""
