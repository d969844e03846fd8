"""The two ways in: HTTP and the command line. The composition root.

Reads: live projections, the log. Writes: events to the log.
May import: processors, projections, events, embedded.
"""
