"""The settings of the log have bounds and one way to write them."""

from __future__ import annotations

from typing import Any

import pytest
from annotated_types import Interval
from pydantic import ValidationError

from events.settings import LogSettings

BOUNDED = {
    name: bound
    for name, field in LogSettings.model_fields.items()
    for bound in field.metadata
    if isinstance(bound, Interval)
}


def test_every_number_is_bounded() -> None:
    """A typo of three zeros is an error and no outage."""
    numbers = {name for name, field in LogSettings.model_fields.items() if field.annotation in (int, float)}
    assert numbers == set(BOUNDED)


def test_every_setting_says_what_it_is() -> None:
    """Units and what none means."""
    assert all(field.description for field in LogSettings.model_fields.values())


@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_bounds_are_inclusive_and_kept(name: str) -> None:
    """Both ends pass, one beyond either does not."""
    low: Any = BOUNDED[name].ge
    high: Any = BOUNDED[name].le
    step = 1 if isinstance(low, int) else 0.001
    for value in (low, high):
        assert getattr(LogSettings.model_validate({name: value}), name) == value
    for value in (low - step, high + step, float("nan")):
        with pytest.raises(ValidationError, match=name):
            LogSettings.model_validate({name: value})


def test_an_unknown_setting_is_refused() -> None:
    """A misspelt name would silently leave the default."""
    with pytest.raises(ValidationError, match="partition_count"):
        LogSettings.model_validate({"partition_count": 4})


def test_topics_have_a_short_and_a_full_name() -> None:
    """The prefix is put before and taken away; another's topic keeps its name."""
    settings = LogSettings(topic_prefix="prod.interlock.")
    assert settings.full_name("usage") == "prod.interlock.usage"
    assert settings.short_name("prod.interlock.usage") == "usage"
    assert settings.short_name("other.usage") == "other.usage"
