"""A fetch ends where a batch is missing, whatever lies above it, and goes on when it is there or gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import batch_holes
from events.batch_holes import Missing, whole_until
from tests.property.test_tolerant_records import at_offset, fetched
from tests.raw_batches import Raw, batch_of

START = 7
BATCHES = {count: batch_of([Raw(b"k", b"v")] * count) for count in range(1, 6)}
Sizes = list[tuple[int, bool]]
sizes = st.lists(st.tuples(st.sampled_from(sorted(BATCHES)), st.booleans()), min_size=1, max_size=8)
"""Records of each batch, and whether the fetch has it."""


def bytes_of(held: Sizes) -> tuple[bytes, list[list[int]]]:
    """A fetch from START on, and the offsets of each batch that it has."""
    raw, offsets, offset = b"", list[list[int]](), START
    for count, is_there in held:
        if is_there:
            raw += at_offset(BATCHES[count].copy(), offset)
            offsets.append(list(range(offset, offset + count)))
        offset += count
    return raw, offsets


def offsets_in(raw: bytes) -> list[int]:
    """What a reader finds in these bytes."""
    return [record.offset for record in fetched(raw)]


def followed(offsets: list[list[int]], first: int) -> list[int]:
    """What follows on one another from an offset on."""
    found = list[int]()
    for batch in offsets:
        if batch[0] != first + len(found):
            break
        found += batch
    return found


@given(held=sizes)
def test_a_fetch_is_whole_until_the_first_batch_that_is_missing(held: Sizes) -> None:
    """And the next one that it has is told; nothing is told when it has all, or lacks only the last ones."""
    raw, offsets = bytes_of(held)
    end, following = whole_until(raw, START)
    whole = followed(offsets, START)
    assert offsets_in(raw[:end]) == whole
    above = [batch[0] for batch in offsets if batch[0] > START + len(whole)]
    assert following == (above[0] if above else None)


@given(held=sizes, into=st.integers(0, 4))
def test_a_fetch_may_begin_within_a_batch(held: Sizes, into: int) -> None:
    """A broker answers with the batch that holds the offset, so it begins below."""
    raw, _ = bytes_of([(5, True), *held])
    assert whole_until(raw, START + into) == whole_until(raw, START)


@given(held=sizes, cut=st.integers(1, 200))
def test_a_batch_that_was_cut_off_is_no_hole(held: Sizes, cut: int) -> None:
    """Brokers cut the last batch at the bytes that were asked for."""
    raw, _ = bytes_of([(count, True) for count, _ in held])
    assert whole_until(raw[:-cut], START)[1] is None


@given(raw=st.binary(max_size=300))
def test_bytes_that_are_no_batches_are_left_to_the_reader(raw: bytes) -> None:
    """Nothing is raised, and no more is cut off than a hole would be."""
    end, following = whole_until(raw, START)
    assert 0 <= end <= len(raw)
    assert following is not None or end == len(raw)


@given(held=sizes)
def test_what_shows_up_later_is_read_in_its_place(held: Sizes) -> None:
    """Each fetch begins where the one before ended, and what is missing shows with the next one."""
    missing, shown, read = Missing(), held, list[int]()
    while len(read) < sum(count for count, _ in held):
        raw, _ = bytes_of(shown)
        position = START + len(read)
        read += [at for at in offsets_in(missing.whole(raw, position)) if at >= position]
        first = next((number for number, (_, is_there) in enumerate(shown) if not is_there), None)
        if first is not None:
            shown = [(count, is_there or number == first) for number, (count, is_there) in enumerate(shown)]
    assert read == list(range(START, START + len(read)))


@given(held=sizes)
def test_what_is_gone_is_passed_over_after_a_while(held: Sizes) -> None:
    """All else is read, in its order; retention and compaction leave such places on brokers."""
    with pytest.MonkeyPatch.context() as patched:
        now_s = [0.0]
        patched.setattr("events.batch_holes.time.monotonic", lambda: now_s[0])
        raw, offsets = bytes_of(held)
        wanted = [at for batch in offsets for at in batch]
        missing, read, position, waits = Missing(), list[int](), START, 0
        while read != wanted:
            given_out = [at for at in offsets_in(missing.whole(raw, position)) if at >= position]
            read += given_out
            position = read[-1] + 1 if read else START
            if not given_out:
                waits += 1
                now_s[0] += batch_holes.GONE_AFTER_S
    holes = sum(one[-1] + 1 != after[0] for one, after in zip([[START - 1], *offsets], offsets, strict=False))
    assert waits == holes
