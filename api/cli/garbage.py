"""How often a process looks for cycles of garbage: those that make many objects and hardly a cycle, seldom."""

from __future__ import annotations

import gc

COLLECT_AFTER_OBJECTS = 5_000
"""A batch makes thousands of objects and no cycles, and what a worker remembers lives long: with Python's own thresholds a
fifth of its time went into looking through it. The requests of small batches do leave cycles: were 50,000 objects to gather,
collecting them would hold up an open breaker for 100 ms.
"""


def collect_seldom(after_objects: int = COLLECT_AFTER_OBJECTS) -> None:
    """From now on; what is there already is never looked at again."""
    gc.freeze()
    gc.set_threshold(after_objects, 20, 50)
