"""Which partition a key lies in: murmur2, as the Java clients and aiokafka do by default."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """Partition number of a key among `partitions`."""
    return (int(murmur2(key)) & 0x7FFF_FFFF) % partitions
