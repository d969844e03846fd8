"""Which new partition a record comes to lie in. Pure.

A record counts in the partition that its key belongs to, and in no other. What counted in the old log has to count in the
new one, and what was refused there has to be refused.
"""

from __future__ import annotations

from events.partitioner import partition_of


def placed(was: bytes | None, key: bytes | None, number: int, old: int, new: int) -> tuple[int, bytes | None]:
    """The partition among `new`, and the key, of a record that lies in partition `number` among `old`; its key `was` another there.

    A record that lies wrong there lies wrong here as well; where there is but one partition, it loses its key for that (its dead
    letter has it).
    """
    if was is None or key is None:
        return number % new, None
    home = partition_of(key, new)
    if partition_of(was, old) == number:
        return home, key
    return ((home + 1) % new, key) if new > 1 else (0, None)
