"""Event ids: UUID v7 for facts that happen, UUID v5 for facts that follow from others."""

from __future__ import annotations

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1c1d3e-3b0a-5c52-9a55-2f6a1b8f7d10")


def uuid7(now_us: int, randomness: bytes) -> str:
    """UUID v7 of RFC 9562 from a time in microseconds and 10 random bytes."""
    if len(randomness) != 10:
        raise ValueError(f"uuid7 takes 10 random bytes, not {len(randomness)}")
    random_a = int.from_bytes(randomness[:2], "big") & 0x0FFF
    random_b = int.from_bytes(randomness[2:], "big") & 0x3FFF_FFFF_FFFF_FFFF
    value = ((now_us // 1000) & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    return str(UUID(int=value))


def derived_id(stream: str, version: int | str) -> str:
    """The same id for the same version of the same stream, so that a republish is a duplicate.

    A version holds no `#`: it is what divides the two, and a stream may hold it.
    """
    if "#" in str(version):
        raise ValueError(f"the version {version!r} holds a #")
    return str(uuid5(_NAMESPACE, f"{stream}#{version}"))
