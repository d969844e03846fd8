"""Analytics: windows of the log as documents with vectors, in Chroma, and what is found in them.

Reads: usage, routing, outcomes, breakers, health; its own collections. Writes: Chroma. May import: events.
"""
