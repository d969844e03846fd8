"""A gateway's book."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.errors import BrokenRunError
from demo.ledger import Ledger, read_ledgers
from events.envelope import OutcomeKind
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded

ID = "018bcfe5-687b-7abc-8def-0000000000{:02d}"


def usage(number: int, tenant: str, cost: int | None) -> UsageRecorded:
    return UsageRecorded(
        event_id=ID.format(number),
        occurred_at=1,
        source="gateway-0",
        tenant=tenant,
        request_id="r",
        provider="openai",
        model="gpt-4",
        outcome=OutcomeKind.SUCCESS,
        cost_nano_usd=cost,
        input_tokens=3,
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Events, acknowledgements and repeats of several books come together."""
    for number in range(2):
        with Ledger(tmp_path / f"{number}.jsonl") as ledger:
            event = usage(number, "acme", 5)
            ledger.write([event])
            ledger.acknowledge([event.event_id])
            ledger.repeat([event.event_id])
    books = read_ledgers(sorted(tmp_path.iterdir()))
    assert set(books.usage) == {ID.format(0), ID.format(1)}
    assert books.usage[ID.format(0)].deployment == "openai/gpt-4"
    assert not books.unacknowledged
    assert books.repeats == 2


def test_only_acknowledged_calls_count_as_spent(tmp_path: Path) -> None:
    """What the log may not have is no claim against it; a call without a price costs nothing."""
    with Ledger(tmp_path / "book.jsonl") as ledger:
        ledger.write([usage(1, "acme", 5), usage(2, "acme", 7), usage(3, "globex", None)])
        ledger.acknowledge([ID.format(1), ID.format(3)])
    books = read_ledgers([tmp_path / "book.jsonl"])
    assert books.spend_by_tenant() == {"acme": 5, "globex": 0}
    assert books.unacknowledged == {ID.format(2)}


def test_a_decision_for_nobody_has_an_empty_deployment(tmp_path: Path) -> None:
    """It is entered like any other."""
    event = RoutingDecided(
        event_id=ID.format(1),
        occurred_at=1,
        source="gateway-0",
        tenant="acme",
        request_id="r",
        provider="",
        model="",
        strategy="priority",
    )
    with Ledger(tmp_path / "book.jsonl") as ledger:
        ledger.write([event])
    assert read_ledgers([tmp_path / "book.jsonl"]).routing[ID.format(1)].deployment == ""


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A book that cannot be read is no proof of anything."""
    path = tmp_path / "book.jsonl"
    path.write_text('{"acknowledged": []}\n{"usage": {"event')
    with pytest.raises(BrokenRunError, match="line 2"):
        read_ledgers([path])
