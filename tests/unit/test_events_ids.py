"""Ids, partitions and positions are what other programs take them for."""

from __future__ import annotations

from uuid import UUID

import pytest

from events.ids import derived_id, uuid7
from events.partitioner import partition_of
from events.positions import InvalidPositionError, Partition, Position, format_vector, parse_vector, vector_of

NOISE = bytes(range(10))


def test_a_uuid7_is_that_of_the_rfc() -> None:
    """The example of RFC 9562, appendix A.6: 2022-02-22 14:22:22 -05:00, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
    noise = (0xCC3).to_bytes(2, "big") + (0x18C4DC0C0C07398F).to_bytes(8, "big")
    assert uuid7(1_645_557_742_000_000, noise) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_uuid7s_sort_by_their_time() -> None:
    """Whatever the noise; the version and variant bits are set."""
    ids = [uuid7(now_ms * 1000, bytes([255 - now_ms]) * 10) for now_ms in range(200)]
    assert ids == sorted(ids)
    assert {UUID(one).version for one in ids} == {7}
    assert {UUID(one).variant for one in ids} == {"specified in RFC 4122"}


def test_uuid7s_of_one_moment_differ_by_their_noise() -> None:
    """74 bits of the noise are kept."""
    assert uuid7(1, NOISE) != uuid7(1, NOISE[::-1])
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7(1, b"short")


def test_a_derived_id_never_changes() -> None:
    """Written down here: a release that derives others would take republished events for new ones."""
    assert derived_id("breaker:openai/gpt-4o", 7) == "1846fb45-a9fe-521c-bd93-5026e7b96cba"
    assert derived_id("breaker:openai/gpt-4o", "7") == derived_id("breaker:openai/gpt-4o", 7)
    assert UUID(derived_id("a", 1)).version == 5


def test_streams_and_versions_do_not_run_into_each_other() -> None:
    """`a#1` at 2 is another than `a` at `1#2`, which is refused."""
    assert derived_id("a#1", 2) != derived_id("a", 12)
    with pytest.raises(ValueError, match="holds a #"):
        derived_id("a", "1#2")


@pytest.mark.parametrize(
    "key, hashed",
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_lie_where_the_java_client_puts_them(key: bytes, hashed: int) -> None:
    """The vectors of Kafka's own UtilsTest.testMurmur2, made positive as its partitioner does."""
    for partitions in (1, 2, 4, 12, 1024):
        assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("key", [b"", b"\xff", bytes(300), "tenant-漢".encode()])
def test_any_bytes_are_a_key(key: bytes) -> None:
    """Empty, not text, too long to be remembered: asked twice, the answer is the same and in range."""
    assert partition_of(key, 7) == partition_of(bytes(key), 7)
    assert 0 <= partition_of(key, 7) < 7


def test_keys_of_every_length_spread() -> None:
    """Each tail length of the hash takes part."""
    assert {partition_of(b"x" * length, 4) for length in range(64)} == {0, 1, 2, 3}


@pytest.mark.parametrize("text", ["usage-3:1042", "dead-letters-0:0", " usage-3:1042 "])
def test_a_position_is_read(text: str) -> None:
    """The topic may hold dashes."""
    position = Position.parse(text)
    assert str(position) == text.strip()


@pytest.mark.parametrize(
    "text",
    ["", "usage", "usage-3", "usage:3", "usage-3:", "-3:1", "usage-3:-1", "usage-x:1", "Usage-3:1", "usage-3:1042x",
     "usage-3:1\n2", "usage-٣:١", "usage-3:1" + "0" * 18, "usage-1234567890:1"],
)  # fmt: skip
def test_what_is_no_position_is_refused_with_an_example(text: str) -> None:
    """Digits are those of ASCII, and not more of them than an offset has."""
    with pytest.raises(InvalidPositionError, match="for example usage-3:1042"):
        Position.parse(text)


def test_a_vector_holds_the_furthest_of_each_partition() -> None:
    """Written in order, read in any."""
    vector = parse_vector("usage-1:7, usage-0:3,,usage-1:5")
    assert vector == {Partition("usage", 1): 7, Partition("usage", 0): 3}
    assert vector_of(Position(p.topic, p.number, offset) for p, offset in vector.items()) == vector
    assert format_vector(vector) == "usage-0:3,usage-1:7"
    assert parse_vector("") == {}
