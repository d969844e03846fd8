"""Analytics in Chroma: documents of windows, their vectors, search.

Reads: events. Writes: Chroma. May import: events.
"""
