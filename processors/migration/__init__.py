"""A migration: what this release makes otherwise than what is stored was made, brought to it step by step, and back.

Reads: topics, registry, what each projection says it was made with. Writes: by the rebuilds, and a note of what is done in
Redis. May import: processors, projections, events.
"""
