"""What a rebuild makes of what its folds would append."""

from __future__ import annotations

import pytest

from events.dead_lettered import DeadLettered
from events.publisher import Encoded
from processors.rebuild.bad_records import NothingAppended
from processors.rebuild.errors import BadRecordError, DerivedAgainError


def letter(offset: int) -> DeadLettered:
    """The letter of a record of usage."""
    return DeadLettered(
        event_id="018bcfe5-6800-7000-8000-000000000001",
        occurred_at=1,
        source="test",
        tenant="",
        letter_id="018bcfe5-6800-7000-8000-000000000002",
        topic="interlock.usage",
        partition=0,
        offset=offset,
        record_time=1,
        reason="bad_avro",
        detail="cut off",
        consumer="test",
    )


async def test_a_known_letter_is_passed_over_and_named_once() -> None:
    """However many parts it has."""
    judge = NothingAppended(frozenset({("interlock.usage", 0, 7)}), skips=False)
    await judge.append([letter(7), letter(7)])
    [bad] = judge.skipped.values()
    assert bad.was_lettered
    assert str(bad) == "interlock.usage-0:7 bad_avro: cut off"


async def test_a_bad_record_without_a_letter_stops_the_rebuild() -> None:
    """By its name, with what to do."""
    judge = NothingAppended(frozenset(), skips=False)
    with pytest.raises(BadRecordError, match=r"interlock\.usage-0:8 bad_avro.*--skip-bad"):
        await judge.append([letter(8)])


async def test_a_bad_record_is_skipped_when_that_is_wished() -> None:
    """And told from those that the workers passed over."""
    judge = NothingAppended(frozenset(), skips=True)
    await judge.append([letter(8)])
    assert [bad.was_lettered for bad in judge.skipped.values()] == [False]


async def test_nothing_is_ever_derived_again() -> None:
    """An error that names the topic, not an append."""
    judge = NothingAppended(frozenset(), skips=True)
    with pytest.raises(DerivedAgainError, match="derived alerts again"):
        await judge.append_encoded([Encoded("alerts", b"k", b"v", 1)])
