"""What the codec refuses, with which reason, and that it refuses with nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from events.alert_raised import AlertRaised
from events.catalogue import TOPICS
from events.codec import HEADER_BYTES, Codec, from_record, to_record
from events.envelope import OutcomeKind
from events.errors import InvalidEventError
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.registry import FolderRegistry
from events.usage_recorded import UsageRecorded
from tests.golden import raw_of, values_of

CODEC = Codec(FolderRegistry())
USAGE = TOPICS["usage"]
RAW = raw_of("usage_recorded.v1")
VALUES = values_of("usage_recorded.v1")


def usage(**changed: Any) -> UsageRecorded:
    event = from_record(USAGE, VALUES)
    assert isinstance(event, UsageRecorded)
    return replace(event, **changed)


def refused(action: Callable[[], object]) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        action()
    return caught.value


def bad(raw: bytes | None, topic: str = "usage") -> str:
    return refused(lambda: CODEC.decode(TOPICS[topic], raw)).reason


def test_a_tombstone_is_refused() -> None:
    """A record without a value is no event."""
    assert bad(None) == "no_value"


@pytest.mark.parametrize("raw", [b"", b"\0", RAW[:4], b"\1" + RAW[1:], b'{"event_id": 1}'])
def test_what_is_not_in_confluent_framing_is_refused(raw: bytes) -> None:
    """Too short for a header, another first byte, JSON."""
    assert bad(raw) == "bad_magic"


def test_an_unknown_schema_id_is_refused_with_the_id() -> None:
    """The message says which schema to register."""
    error = refused(lambda: CODEC.decode(USAGE, b"\0\0\0\0\7" + RAW[HEADER_BYTES:]))
    assert error.reason == "unknown_schema"
    assert "id 7" in error.detail


def test_another_event_type_is_refused() -> None:
    """A usage record on the health topic is not taken for a health check."""
    assert bad(RAW, "health") == "wrong_type"


@pytest.mark.parametrize("length", range(HEADER_BYTES, len(RAW)))
def test_a_record_that_breaks_off_is_refused(length: int) -> None:
    """Wherever it was cut."""
    assert bad(RAW[:length]) == "bad_avro"


def test_bytes_after_the_record_are_refused() -> None:
    """A record is all of the value."""
    assert bad(RAW + b"\0") == "trailing_bytes"


def test_invalid_utf8_is_refused() -> None:
    """A string of other bytes is not repaired in silence."""
    assert bad(RAW.replace(b"gateway-7", b"gateway\xff7")) == "bad_avro"


OUTCOME = RAW.index(b"key-1") + len(b"key-1")
"""Where the index of the outcome's symbol lies: after the last string before it."""


@pytest.mark.parametrize("index", [b"\x1e", b"\x7e", b"\x01", b"\xff\x01", b"\xfe\xff\xff\xff\x1f"])
def test_an_unknown_enum_symbol_is_refused(index: bytes) -> None:
    """An index beyond the last symbol, a negative one, one that no int holds."""
    assert RAW[OUTCOME] == 2 * list(OutcomeKind).index(OutcomeKind.RATE_LIMITED)
    assert bad(RAW[:OUTCOME] + index + RAW[OUTCOME + 1 :]) == "bad_avro"


@pytest.mark.parametrize("branch", [b"\x04", b"\x01", b"\x03"])
def test_an_unknown_union_branch_is_refused(branch: bytes) -> None:
    """A nullable field is null or it is not; a negative index is no way to say null."""
    region = RAW.index(b"eu-west") - 2
    assert bad(RAW[:region] + branch + RAW[region + 1 :]) == "bad_avro"


@pytest.mark.parametrize(
    "length", [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x01", b"\xff\x01", b"\x80" * 20]
)
def test_a_senseless_length_is_refused_at_once(length: bytes) -> None:
    """A string of 2^63 bytes, of -1, of -128, of a number that never ends: nothing is allocated for it."""
    source = RAW.index(b"gateway-7") - 1
    assert bad(RAW[:source] + length + RAW[source + 1 :]) == "bad_avro"


@pytest.mark.parametrize(
    "count",
    [b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x7e"],
)
def test_a_senseless_block_count_is_refused_at_once(count: bytes) -> None:
    """2^63 attributes, -2^63 of them, 63 where there are two: reading ends with the bytes."""
    attributes = RAW.index(b"app") - 2
    assert bad(RAW[:attributes] + count + RAW[attributes + 1 :]) == "bad_avro"


def test_a_boolean_is_0_or_1() -> None:
    """Any other byte is damage."""
    raw = raw_of("budget_changed.v1")
    hard = raw.index(b"Europe/Berlin") + len(b"Europe/Berlin") + 6
    assert raw[hard] == 0
    assert bad(raw[:hard] + b"\x02" + raw[hard + 1 :], "budgets") == "bad_avro"


@pytest.mark.parametrize("latency_ms", [math.nan, math.inf, -math.inf, -0.5])
def test_a_latency_that_is_no_number_is_refused(latency_ms: float) -> None:
    """NaN and infinity pass Avro and would poison every mean."""
    check = ProviderHealthChecked(
        event_id=VALUES["event_id"],
        occurred_at=1,
        source="p",
        tenant="",
        provider="openai",
        status=HealthStatus.HEALTHY,
        latency_ms=latency_ms,
    )
    error = refused(lambda: CODEC.decode(TOPICS["health"], CODEC.encode(check)))
    assert (error.reason, error.field) == ("invalid_value", "latency_ms")


@pytest.mark.parametrize(
    "field, value",
    [
        ("input_tokens", -1),
        ("output_tokens", -(2**63)),
        ("latency_ms", -1),
        ("occurred_at", -1),
        ("event_id", "42"),
        ("provider", ""),
        ("source", "x" * 257),
        ("error", "x" * 1001),
        ("status_code", 99),
        ("attempt", 0),
        ("attributes", {str(number): "" for number in range(33)}),
        ("attributes", {"x" * 65: ""}),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_name(field: str, value: object) -> None:
    """What Avro can carry and an event cannot."""
    error = refused(lambda: CODEC.decode(USAGE, CODEC.encode(usage(**{field: value}))))
    assert error.reason == "invalid_value"
    assert (error.field or "").split(".")[0] == field
    assert field in error.detail


@pytest.mark.parametrize(
    "field, value",
    [
        ("input_tokens", 2**63),
        ("input_tokens", 1.5),
        ("input_tokens", None),
        ("input_tokens", "7"),
        ("status_code", 2**31),
        ("attempt", -(2**31) - 1),
        ("source", None),
        ("source", b"gateway"),
        ("source", "a\ud800"),
        ("outcome", "EXPLODED"),
        ("attributes", None),
        ("attributes", {"a": 1}),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_not_written(field: str, value: object) -> None:
    """An int of more than its bits, text that is no Unicode, a symbol that the enum does not have."""
    assert refused(lambda: CODEC.encode(usage(**{field: value}))).reason == "invalid_value"


def test_a_budget_whose_fields_disagree_is_refused() -> None:
    """Rules over several fields hold for records of the log too."""
    values = {**values_of("budget_changed.v1"), "subject": None}
    error = refused(lambda: from_record(TOPICS["budgets"], values))
    assert error.reason == "invalid_value"
    assert "subject is given at every level but TENANT" in error.detail


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe/Berlin\0"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    """A budget's calendar has to exist."""
    values = {**values_of("budget_changed.v1"), "zone": zone}
    assert refused(lambda: from_record(TOPICS["budgets"], values)).field == "zone"


def test_an_id_has_one_spelling() -> None:
    """However a UUID is written, the event has the canonical form, so that duplicates are seen."""
    shouted = {**VALUES, "event_id": "{" + VALUES["event_id"].upper() + "}"}
    assert from_record(USAGE, shouted).event_id == VALUES["event_id"]


def test_plain_values_are_of_json() -> None:
    """`to_record` leaves dicts, lists, numbers and strings, and `from_record` takes them back."""
    topic = TOPICS["providers"]
    record = values_of("provider_changed.v1")
    assert to_record(from_record(topic, record)) == record


def test_an_alert_goes_with_its_tenant_or_its_provider() -> None:
    """An alert about a deployment has no tenant: the provider is its key."""
    alert = from_record(TOPICS["alerts"], values_of("alert_raised.v1"))
    assert isinstance(alert, AlertRaised)
    assert TOPICS["alerts"].key_of(alert) == "acme"
    assert TOPICS["alerts"].key_of(replace(alert, tenant="", subject="openai/gpt-4o")) == "openai"
