"""Hypothesis strategies for events, derived from the models: their types and the bounds that stand in the annotations."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic import AfterValidator

from events.budget_changed import BudgetChanged, BudgetLevel, BudgetPeriod
from events.catalogue import TOPICS
from events.envelope import Event
from events.provider_changed import SLOW_BOUNDS_S

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
LONGEST = 6
"""Items of a collection and characters of most texts: the long ones are drawn now and then."""

_VALIDATED: dict[str, Callable[[tuple[Any, ...]], st.SearchStrategy[Any]]] = {
    "_uuid": lambda _: st.uuids().map(str),
    "_zone": lambda _: st.sampled_from(ZONES),
    "_slow_bound": lambda _: st.sampled_from(SLOW_BOUNDS_S),
    "_no_slash": lambda bounds: _texts(bounds).map(lambda text: text.replace("/", "-")),
}
"""What a validator that is a function lets through, by the function's name, within the other bounds."""


def events_of(event: type[Event]) -> st.SearchStrategy[Any]:
    """Valid events of a type."""
    made = _parts_of(event)
    return made.map(_with_agreeing_fields) if event is BudgetChanged else made


def any_event() -> st.SearchStrategy[Event]:
    """A valid event of any type."""
    return st.one_of([events_of(topic.event) for topic in TOPICS.values()])


def _parts_of(part: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(part, include_extras=True)
    return st.builds(part, **{field.name: _values_of(hints[field.name]) for field in fields(part)})


def _values_of(hint: Any, bounds: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values of a type within the bounds of its annotation."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *found = get_args(hint)
        return _values_of(inner, (*bounds, *found))
    for bound in bounds:
        if isinstance(bound, AfterValidator):
            return _VALIDATED[bound.func.__name__](bounds)
    if origin in (Union, types.UnionType):
        return st.one_of([_values_of(option) for option in get_args(hint)])
    if origin in (tuple, dict):
        return _collections_of(origin, get_args(hint), bounds)
    if is_dataclass(hint) and isinstance(hint, type):
        return _parts_of(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return _SIMPLE[hint](bounds)


def _collections_of(
    origin: type[Any], arguments: tuple[Any, ...], bounds: tuple[Any, ...]
) -> st.SearchStrategy[Any]:
    _, longest = _lengths(bounds)
    longest = min(longest, LONGEST)
    if origin is tuple:
        return st.lists(_values_of(arguments[0]), max_size=longest).map(tuple)
    return st.dictionaries(_values_of(arguments[0]), _values_of(arguments[1]), max_size=longest)


def _texts(bounds: tuple[Any, ...]) -> st.SearchStrategy[str]:
    shortest, longest = _lengths(bounds)
    short = st.text(min_size=shortest, max_size=min(longest, LONGEST))
    long = st.sampled_from("aß漢🙂").map(lambda letter: letter * min(longest, 2000))
    return short | short | short | long


def _integers(bounds: tuple[Any, ...]) -> st.SearchStrategy[int]:
    low, high = _interval(bounds)
    return st.integers(low, high) | st.sampled_from((low, high))


def _floats(bounds: tuple[Any, ...]) -> st.SearchStrategy[float]:
    for bound in bounds:
        if isinstance(bound, Interval):
            low = bound.gt if bound.ge is None else bound.ge
            return st.floats(low, bound.le, exclude_min=bound.ge is None)  # type: ignore[arg-type]
    raise TypeError("a float of an event has bounds")


def _interval(bounds: tuple[Any, ...]) -> tuple[int, int]:
    for bound in bounds:
        if isinstance(bound, Interval):
            assert isinstance(bound.ge, int)
            assert isinstance(bound.le, int)
            return bound.ge, bound.le
    raise TypeError("an integer of an event has bounds that fit its Avro type")


def _lengths(bounds: tuple[Any, ...]) -> tuple[int, int]:
    shortest, longest = 0, 2**31
    for bound in bounds:
        if isinstance(bound, MinLen):
            shortest = bound.min_length
        if isinstance(bound, MaxLen):
            longest = bound.max_length
        if isinstance(bound, Len) and bound.max_length is not None:
            longest = bound.max_length
    return shortest, longest


def _with_agreeing_fields(budget: BudgetChanged) -> BudgetChanged:
    rolling = budget.period is BudgetPeriod.ROLLING
    return replace(
        budget,
        subject=None if budget.level is BudgetLevel.TENANT else budget.subject or "acme",
        rolling_hours=(budget.rolling_hours or 24) if rolling else None,
        model=None if budget.provider is None else budget.model,
    )


_SIMPLE: dict[Any, Callable[[tuple[Any, ...]], st.SearchStrategy[Any]]] = {
    str: _texts,
    int: _integers,
    float: _floats,
    bool: lambda _: st.booleans(),
    bytes: lambda _: st.binary(max_size=80),
    type(None): lambda _: st.none(),
}
