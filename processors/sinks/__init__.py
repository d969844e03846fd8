"""Sinks: the log written to other stores, each at its own pace.

Reads: the log. Writes: through projections.sink.Sink. May import: projections, events.
"""
