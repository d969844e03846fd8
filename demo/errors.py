"""Errors of the demo, split by what its user does with them."""

from __future__ import annotations


class DemoError(Exception):
    """Root of this package's errors."""


class BadInputError(DemoError):
    """An option or an input file cannot be used: mend it and run again."""


class BrokenRunError(DemoError):
    """A part of the demo ended or stood still before its time: no proof was made."""
