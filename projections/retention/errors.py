"""Errors of the retention, split by what the caller does with them."""

from __future__ import annotations

from projections.errors import ProjectionError


class RetentionError(ProjectionError):
    """Root of this package's errors."""


class StepRefusedError(RetentionError):
    """A step of a plan no longer holds: what it would take has changed since. Plan again."""


class BusyError(RetentionError):
    """Another process is carrying out a plan on the same history."""
