"""Redis: the live answers. Pure states with their folds, and the store, cache and waits around them.

Reads: Redis. Writes: Redis, by the one atomic commit of a slot's owner. May import: events, projections.errors, .settings.
"""
