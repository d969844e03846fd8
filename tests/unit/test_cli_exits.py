"""Exit codes are kept by the names of errors, which nothing else would hold to what the errors are called."""

from __future__ import annotations

from importlib import import_module

import pytest

from api.cli.exits import CODES, CommandError, Exit, code_of
from events.errors import EventsError, LogUnavailableError


@pytest.mark.parametrize("name", CODES)
def test_each_name_is_that_of_an_error(name: str) -> None:
    """By the module that defines it, for so it is looked up."""
    module, _, kind = name.rpartition(".")
    error = getattr(import_module(module), kind)
    assert issubclass(error, Exception)
    assert (error.__module__, error.__qualname__) == (module, kind)


def test_the_nearest_kind_counts_and_a_defect_has_no_code() -> None:
    """A kind of its own before what it is a kind of."""
    assert issubclass(LogUnavailableError, EventsError)
    assert code_of(LogUnavailableError("away")) is Exit.UNAVAILABLE
    assert code_of(EventsError("odd")) is Exit.FAILED
    assert code_of(CommandError("no", Exit.NOT_FOUND)) is Exit.NOT_FOUND
    assert code_of(ValueError("a defect")) is None
