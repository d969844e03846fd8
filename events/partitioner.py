"""Which partition a key lies in: murmur2, as the Java clients and aiokafka do by default."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2

REMEMBERED_KEYS = 65_536
REMEMBERED_KEY_BYTES = 256


def partition_of(key: bytes, partitions: int) -> int:
    """Partition number of a key among `partitions`."""
    return (_remembered if len(key) <= REMEMBERED_KEY_BYTES else _positive)(key) % partitions


def _positive(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFF_FFFF


# Tenants and providers come again, and the hash is computed in Python.
_remembered = lru_cache(maxsize=REMEMBERED_KEYS)(_positive)
