"""Validators of an event's fields as JSON spells them, from the event's own annotations: nothing is said twice.

Values are taken as they are (no text is a number, no number a truth), but JSON has no enums, tuples and objects of ours: they
are text, arrays and objects there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Strict, TypeAdapter, with_config
from typing_extensions import TypedDict

from events.compiled_reader import Record
from events.envelope import Event

_NOT_STRICT = Strict(strict=False)


def fields_validator(event: type[Event]) -> Callable[[Record], Record]:
    """Checks plain values, one for each field of an event, and returns them; raises pydantic's ValidationError.

    The event itself is not made: who only writes its values to the log would pay for that with a third of the time.
    """
    validate: Callable[[Record], Record] = TypeAdapter(_shape(event)).validator.validate_python
    return validate


def _shape(kind: type[Any]) -> Any:
    """The mapping that has a key for each field of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    shape: Any = TypedDict("shape", {part.name: _spelled(hints[part.name]) for part in fields(kind)})  # type: ignore[misc]
    return with_config(ConfigDict(strict=True, extra="forbid"))(shape)


def _spelled(hint: Any) -> Any:
    """The annotation of a value as JSON spells it."""
    if get_origin(hint) is Annotated:
        plain, *bounds = get_args(hint)
        return Annotated[_spelled(plain), *bounds]
    if get_origin(hint) is tuple:
        each, _ = get_args(hint)
        return Annotated[tuple[_spelled(each), ...], _NOT_STRICT]  # type: ignore[misc]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Annotated[hint, _NOT_STRICT]
    return _shape(hint) if isinstance(hint, type) and is_dataclass(hint) else hint
