"""Rebuild of a projection beside the live one: of the live state another generation, of the history another schema.

Reads: the log by ranges and its archive, both generations or schemas. Writes: the new one only, seals or a lock on the live
one, and at the end the pointer or the names. Derived events are never appended, but for those that the live generation has
committed already. May import: processors, projections, events.
"""
