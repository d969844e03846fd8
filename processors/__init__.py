"""The deciders and the Faust app that feeds them.

Reads: events in batches, live state. Writes: live state with its checkpoint, derived events by the outbox.
May import: projections, events.
"""
