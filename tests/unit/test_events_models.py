"""The models say what the newest schemas say: no field, default, symbol or width has drifted."""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Interval

from events.catalogue import TOPICS, Topic, topic_named
from events.errors import UnknownTopicError
from events.schema_types import default_of, kind_of, named_types, short_name_of
from events.schemas import load_schemas

SCHEMAS = load_schemas()
LIMITS = {"int": 2**31, "long": 2**63}
KIND_OF = {str: ("string",), bool: ("boolean",), bytes: ("bytes",), float: ("double",), int: ("int", "long")}

every_topic = pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)


def compare(model: type[Any], schema: Any, named: dict[str, Any]) -> None:
    """A dataclass and a record agree in names, order, defaults and types, all the way down."""
    hints = get_type_hints(model, include_extras=True)
    assert model.__name__ == short_name_of(schema)
    assert [one.name for one in fields(model)] == [one["name"] for one in schema["fields"]]
    for attribute, one in zip(fields(model), schema["fields"], strict=True):
        place = f"{model.__name__}.{attribute.name}"
        compare_default(place, attribute, one, named)
        compare_type(place, hints[attribute.name], one["type"], named)


def compare_default(place: str, attribute: Field[Any], one: Any, named: dict[str, Any]) -> None:
    default = attribute.default if attribute.default_factory is MISSING else attribute.default_factory()
    assert (default is not MISSING) == ("default" in one), f"{place}: only one of them has a default"
    if "default" in one:
        plain = list(default) if isinstance(default, tuple) else default
        assert plain == default_of(one, named), place


def compare_type(place: str, hint: Any, schema: Any, named: dict[str, Any]) -> None:
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    bounds: list[Any] = []
    while get_origin(hint) is Annotated:
        hint, *found = get_args(hint)
        bounds += found
    options = list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]
    if type(None) in options:
        [some] = [option for option in options if option is not type(None)]
        assert isinstance(schema, list), f"{place}: may be None, and the schema has no null"
        assert schema[0] == "null", f"{place}: null comes first, because the default is null"
        assert len(schema) == 2, place
        return compare_type(place, some, schema[1], named)
    if get_origin(hint) is tuple:
        assert kind_of(schema) == "array", place
        return compare_type(f"{place}[]", get_args(hint)[0], schema["items"], named)
    if get_origin(hint) is dict:
        assert kind_of(schema) == "map", place
        return compare_type(f"{place}{{}}", get_args(hint)[1], schema["values"], named)
    if is_dataclass(hint) and isinstance(hint, type):
        return compare(hint, schema, named)
    if isinstance(hint, type) and issubclass(hint, Enum):
        assert [member.value for member in hint] == schema["symbols"], place
        assert [member.name for member in hint] == schema["symbols"], place
        assert hint.__name__ == short_name_of(schema), place
        return None
    assert kind_of(schema) in KIND_OF[hint], place
    if hint is int:
        compare_width(place, bounds, LIMITS[kind_of(schema)])
    return None


def compare_width(place: str, bounds: list[Any], limit: int) -> None:
    intervals = [bound for bound in bounds if isinstance(bound, Interval)]
    assert intervals, f"{place}: an integer without bounds"
    for interval in intervals:
        assert isinstance(interval.ge, int), place
        assert isinstance(interval.le, int), place
        assert -limit <= interval.ge, f"{place}: the least value does not fit its Avro type"
        assert interval.le < limit, f"{place}: the greatest value does not fit its Avro type"


@every_topic
def test_a_model_is_its_newest_schema(topic: Topic) -> None:
    """Field names, order, defaults, optionality, enum symbols and integer widths of the class are the schema's."""
    newest = SCHEMAS[topic.folder][-1].plain
    compare(topic.event, newest, named_types(newest))


@every_topic
def test_the_key_is_a_field_of_the_event(topic: Topic) -> None:
    """A topic's key is read from its event: a field, or for alerts what the event makes of two."""
    assert hasattr(topic.event, topic.key_field)


def test_every_schema_has_a_topic() -> None:
    """No schema folder is without a topic, and none serves two."""
    assert sorted(topic.folder for topic in TOPICS.values()) == sorted(SCHEMAS)


def test_every_event_begins_with_the_envelope() -> None:
    """The first six fields of every schema are the envelope's, in its order."""
    starts = {
        tuple(one["name"] for one in versions[-1].definition["fields"][:6]) for versions in SCHEMAS.values()
    }
    assert starts == {("event_id", "occurred_at", "source", "tenant", "correlation_id", "causation_id")}


def test_every_enum_can_grow() -> None:
    """Each enum has a default, so that a reader of today reads the symbols of tomorrow."""
    for versions in SCHEMAS.values():
        for name, named in named_types(versions[-1].plain).items():
            assert named["type"] != "enum" or named.get("default") in named["symbols"], name


def test_co_partitioned_topics_share_their_key() -> None:
    """The topics of the provider group are keyed by provider, those of the tenant group by tenant."""
    for topic in TOPICS.values():
        if topic.group != "letters":
            assert topic.key_field in (topic.group, "tenant_or_provider")


def test_a_topic_that_is_not_there_is_named_with_those_that_are() -> None:
    """A typo in a topic's name is answered with the list."""
    with pytest.raises(UnknownTopicError, match="no topic 'usages'; there are health, usage"):
        topic_named("usages")
