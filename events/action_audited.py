"""ActionAudited: something that was done to the platform or its data, by whom and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from events.envelope import Attributes, ErrorText, Event, Name


class AuditResult(StrEnum):
    """How far it came."""

    OTHER = "OTHER"
    STARTED = "STARTED"
    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionAudited(Event):
    """See schemas/action_audited. What cannot be undone is STARTED first; the same `correlation_id` ends it."""

    actor: Name
    action: Name
    subject: Name
    result: AuditResult
    detail: ErrorText = ""
    attributes: Attributes = field(default_factory=dict)
