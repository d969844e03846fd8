"""Rebuild of the live state: another generation beside the live one, folded from the log, compared, and made live.

Reads: the log by ranges, both generations. Writes: the new generation only, its seals on the live one, and at the end the
pointer. Derived events are never appended, but for those that the live generation has committed already.
May import: processors, projections, events.
"""
