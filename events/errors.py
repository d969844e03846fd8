"""Errors of the events package, split by what the caller does with them."""

from __future__ import annotations


class EventsError(Exception):
    """Root of this package's errors."""


class InvalidEventError(EventsError):
    """The bytes or values are not a usable event: dead-letter the record, or refuse the input.

    `reason` is a short code that stays the same over releases (`unknown_schema`, `invalid_value`, ...); the message says
    what was wrong, where, and what to do.
    """

    def __init__(self, reason: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


class SchemaError(EventsError):
    """A schema file is missing, malformed or incompatible with a released one: mend the file."""


class UnknownTopicError(EventsError):
    """No such topic in the catalogue."""


class LogUnavailableError(EventsError):
    """The log did not answer within its bound: retry later, nothing was acknowledged."""


class BackpressureError(EventsError):
    """The publisher's bounded buffer is full: retry after `retry_after_s`."""

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class EventTooLargeError(InvalidEventError):
    """One event is larger than the log accepts."""

    def __init__(self, detail: str) -> None:
        super().__init__("too_large", detail)
