"""Digests and differences of two states."""

from __future__ import annotations

from projections.live.digest import Comparison, Digest, how_different


def test_a_digest_does_not_depend_on_the_order_and_adds_up() -> None:
    """Parts in any order come to the same sum."""
    whole, first, second = Digest(), Digest(), Digest()
    for key, value in (("a", b"1"), ("b", b"2"), ("c", b"3")):
        whole.add(key, value)
    second.add("c", b"3")
    first.add("b", b"2")
    first.add("a", b"1")
    assert second.plus(first) == whole
    assert (whole.keys, whole.value_bytes) == (3, 3)


def test_a_key_and_its_value_cannot_be_cut_otherwise() -> None:
    """`ab` with `c` is not `a` with `bc`."""
    one, other = Digest(), Digest()
    one.add("ab", b"c")
    other.add("a", b"bc")
    assert one.text != other.text


def test_a_difference_names_the_fields() -> None:
    """Nested ones by their path, both values with it."""
    live, new = b'{"a":{"b":1,"c":2},"d":3}', b'{"a":{"b":1,"c":5},"d":3}'
    assert how_different(live, new) == "a.c is 2 live, 5 new"
    assert how_different(b"\xff", b"{}").startswith("value is b'\\xff' live")
    assert how_different(None, b"{}") == "only in the new generation: {}"


def test_bytes_that_mean_the_same_and_differ_are_a_difference() -> None:
    """Canonical bytes are compared, not what they mean."""
    comparison = Comparison()
    comparison.add("usage.0", {"spend:x": b'{"a":1}'}, {"spend:x": b'{"a": 1}'})
    assert not comparison.is_equal
    assert [one.key for one in comparison.differences] == ["spend:x"]
