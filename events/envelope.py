"""What every event carries, and the value types that events share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from annotated_types import Interval, Len, MaxLen, MinLen
from pydantic import AfterValidator

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1
MAX_TIME_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _uuid(value: str) -> str:
    """Accept any spelling of a UUID and keep the canonical one, so that one id has one spelling."""
    if _CANONICAL_UUID.fullmatch(value):
        return value
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("must be a UUID, for example 018bcfe5-687b-7abc-8def-0123456789ab") from None


def _no_slash(value: str) -> str:
    if "/" in value:
        raise ValueError("must have no slash: provider/model[@region] is the name of a deployment")
    return value


EventId = Annotated[str, AfterValidator(_uuid)]
Name = Annotated[str, MinLen(1), MaxLen(256)]
OptionalName = Annotated[str, MaxLen(256)]
ProviderName = Annotated[Name, AfterValidator(_no_slash)]
ErrorText = Annotated[str, MaxLen(1000)]
Count = Annotated[int, Interval(ge=0, le=MAX_LONG)]
Positive = Annotated[int, Interval(ge=1, le=MAX_LONG)]
SmallCount = Annotated[int, Interval(ge=0, le=MAX_INT)]
SmallPositive = Annotated[int, Interval(ge=1, le=MAX_INT)]
HttpStatus = Annotated[int, Interval(ge=100, le=999)]
TimeUs = Annotated[int, Interval(ge=0, le=MAX_TIME_US)]
NanoUsd = Annotated[int, Interval(ge=-MAX_LONG, le=MAX_LONG)]
Share = Annotated[float, Interval(gt=0.0, le=1.0)]
Seconds = Annotated[int, Interval(ge=1, le=86_400 * 366)]
Attempt = Annotated[int, Interval(ge=1, le=1000)]
Attributes = Annotated[dict[Annotated[str, MaxLen(64)], Annotated[str, MaxLen(1000)]], Len(0, 32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The envelope: fields that every event carries. Times are microseconds since the epoch, UTC."""

    event_id: EventId
    occurred_at: TimeUs
    source: Name
    tenant: OptionalName
    correlation_id: OptionalName | None = None
    causation_id: OptionalName | None = None


class OutcomeKind(StrEnum):
    """How a call ended; see the schema of UsageRecorded."""

    OTHER = "OTHER"
    SUCCESS = "SUCCESS"
    CONNECT_ERROR = "CONNECT_ERROR"
    TLS_ERROR = "TLS_ERROR"
    TIMEOUT = "TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    OVERLOADED = "OVERLOADED"
    STREAM_CUT = "STREAM_CUT"
    RATE_LIMITED = "RATE_LIMITED"
    UNAUTHORIZED = "UNAUTHORIZED"
    BILLING = "BILLING"
    BAD_REQUEST = "BAD_REQUEST"
    CONTEXT_LENGTH = "CONTEXT_LENGTH"
    CONTENT_FILTER = "CONTENT_FILTER"
    CANCELLED = "CANCELLED"


FAILURES = frozenset(
    {
        OutcomeKind.CONNECT_ERROR,
        OutcomeKind.TLS_ERROR,
        OutcomeKind.TIMEOUT,
        OutcomeKind.SERVER_ERROR,
        OutcomeKind.OVERLOADED,
        OutcomeKind.STREAM_CUT,
    }
)
"""Outcomes that are the provider's fault and count against its breaker."""

CREDENTIAL_OUTCOMES = frozenset({OutcomeKind.UNAUTHORIZED, OutcomeKind.BILLING})


def deployment_name(provider: str, model: str, region: str | None) -> str:
    """`provider/model[@region]`: the scope of a circuit breaker."""
    return f"{provider}/{model}@{region}" if region else f"{provider}/{model}"
