"""Rebuild of a projection beside the live one: of the live state another generation, of the history another schema,
of the analytics another set of collections.

Reads: the log by ranges and its archive, what is live and what is new. Writes: the new one only, seals or a lock on the live
one, and at the end the pointer or the names. Derived events are never appended, but for those that the live generation has
committed already. May import: processors, projections, events.
"""
