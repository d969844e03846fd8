"""The check finds each way in which a schema can break its readers, and lets through what does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from events.compatibility import changed_meanings, edited, incompatibilities, main, problems, release
from events.errors import SchemaError
from events.schemas import load_schemas, schema_version, schemas_folder

Field = dict[str, Any]
PLAIN: Field = {"name": "a", "type": "string", "doc": "A."}


def field(name: str, kind: Any, **more: Any) -> Field:
    return {"name": name, "type": kind, "doc": "It.", **more}


def enum(*symbols: str, **more: Any) -> Any:
    return {"type": "enum", "name": "E", "doc": "E.", "symbols": list(symbols), **more}


def record(*fields: Field, name: str = "R") -> Any:
    return {"type": "record", "name": name, "doc": "R.", "fields": list(fields)}


def found(old: Any, new: Any) -> list[str]:
    versions = [schema_version("r", 1, old), schema_version("r", 2, new)]
    return incompatibilities(versions) + changed_meanings(versions)


NULLABLE = ["null", "string"]
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}

FINE = {
    "nothing": (record(PLAIN), record(PLAIN)),
    "a doc": (record(PLAIN), record({**PLAIN, "doc": "Better."})),
    "a field with a default": (record(PLAIN), record(PLAIN, field("b", "int", default=0))),
    "a nullable field": (record(PLAIN), record(PLAIN, field("b", NULLABLE, default=None))),
    "a field that had a default goes": (record(PLAIN, field("b", "int", default=0)), record(PLAIN)),
    "a symbol, with an enum default": (
        record(field("e", enum("A", "B", default="A"))),
        record(field("e", enum("A", "B", "C", default="A"))),
    ),
    "a symbol of a nullable enum": (
        record(field("e", ["null", enum("A", default="A")])),
        record(field("e", ["null", enum("A", "B", default="A")])),
    ),
}

BROKEN = {
    "a field without a default": (record(PLAIN), record(PLAIN, field("b", "int")), "v2 cannot read v1"),
    "a required field goes": (record(PLAIN, field("b", "int")), record(PLAIN), "v1 cannot read v2"),
    "a field changes its name": (record(PLAIN), record(field("z", "string")), "v2 cannot read v1"),
    "a field changes its type": (record(PLAIN), record(field("a", "int")), "type_mismatch"),
    "an int widens": (record(field("a", "int")), record(field("a", "long")), "v1 cannot read v2"),
    "a field becomes nullable": (
        record(PLAIN),
        record(field("a", NULLABLE, default=None)),
        "v1 cannot read v2",
    ),
    "a union widens": (
        record(field("a", NULLABLE, default=None)),
        record(field("a", [*NULLABLE, "int"], default=None)),
        "v1 cannot read v2",
    ),
    "a symbol, without an enum default": (
        record(field("e", enum("A"))),
        record(field("e", enum("A", "B"))),
        "v1 cannot read v2",
    ),
    "a symbol of a nullable enum without a default": (
        record(field("e", ["null", enum("A")])),
        record(field("e", ["null", enum("A", "B")])),
        "v1 cannot read v2",
    ),
    "a symbol goes, without an enum default": (
        record(field("e", enum("A", "B"))),
        record(field("e", enum("A"))),
        "v2 cannot read v1",
    ),
    "items change": (
        record(field("a", {"type": "array", "items": "int"})),
        record(field("a", {"type": "array", "items": "string"})),
        "v2 cannot read v1",
    ),
    "values of a map change": (
        record(field("a", {"type": "map", "values": "int"})),
        record(field("a", {"type": "map", "values": "string"})),
        "v2 cannot read v1",
    ),
    "an inner record gains a field without a default": (
        record(field("a", record(PLAIN, name="Inner"))),
        record(field("a", record(PLAIN, field("b", "int"), name="Inner"))),
        "v2 cannot read v1",
    ),
    "the event changes its name": (record(PLAIN), record(PLAIN, name="Q"), "name_mismatch"),
    "micros become millis": (record(field("a", MICROS)), record(field("a", MILLIS)), "a changed meaning"),
    "a time becomes a number": (
        record(field("a", ["null", MICROS], default=None)),
        record(field("a", ["null", "long"], default=None)),
        "a changed meaning",
    ),
}


@pytest.mark.parametrize("old, new", FINE.values(), ids=FINE)
def test_growth_is_fine(old: Any, new: Any) -> None:
    """Old and new read each other."""
    assert found(old, new) == []


@pytest.mark.parametrize("old, new, said", BROKEN.values(), ids=BROKEN)
def test_a_break_is_found(old: Any, new: Any, said: str) -> None:
    """Either the old code cannot read the new events, or the new code the old ones, or one takes them for another."""
    assert any(said in line for line in found(old, new)), found(old, new)


def test_every_pair_of_versions_is_compared() -> None:
    """Transitive: the third version is held against the first, too."""
    first = record(PLAIN, field("b", "int", default=0))
    third = record(PLAIN, field("b", "string", default=""))
    versions = [
        schema_version("r", 1, first),
        schema_version("r", 2, record(PLAIN)),
        schema_version("r", 3, third),
    ]
    assert any("v3 cannot read v1" in line for line in incompatibilities(versions))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the schemas, released as they are."""
    copied = tmp_path / "schemas"
    shutil.copytree(schemas_folder(), copied)
    release(copied)
    return copied


def test_the_shipped_schemas_are_sound() -> None:
    """Compatible, documented, and none that was released has been edited."""
    assert problems(schemas_folder()) == []


def test_a_released_file_is_never_edited(folder: Path) -> None:
    """Not even by a space: readers elsewhere have the old one."""
    assert edited(folder) == []
    file = folder / "usage_recorded" / "v1.avsc"
    file.write_text(file.read_text() + " ")
    assert [line.split()[0] for line in problems(folder)] == ["usage_recorded/v1.avsc"]
    file.unlink()
    assert [line.split()[0] for line in edited(folder)] == ["usage_recorded/v1.avsc"]


def test_a_release_adds_what_is_new_and_keeps_what_was(folder: Path) -> None:
    """An edit is not made good by releasing again."""
    assert release(folder) == []
    old = folder / "usage_recorded" / "v1.avsc"
    shutil.copy(old, folder / "usage_recorded" / "v2.avsc")
    old.write_text(old.read_text() + " ")
    assert release(folder) == ["usage_recorded/v2.avsc"]
    assert len(edited(folder)) == 1


def test_a_field_without_a_doc_is_found(folder: Path) -> None:
    """At any depth: the reference for people is made of the docs."""
    file = folder / "routing_decided" / "v2.avsc"
    text = (folder / "routing_decided" / "v1.avsc").read_text()
    file.write_text(text.replace('"doc": "provider/model[@region]."', '"doc": ""'))
    assert problems(folder) == ["routing_decided v2: field interlock.events.Candidate.deployment has no doc"]


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("v3.avsc", "{}", "without a gap"),
        ("vx.avsc", "{}", "without a gap"),
        ("v2.avsc", "{", "v2.avsc"),
        ("v2.avsc", '"string"', "an event's schema is an Avro record"),
        (
            "v2.avsc",
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "strin"}]}',
            "not an Avro schema",
        ),
    ],
)
def test_a_file_that_is_no_schema_is_named(folder: Path, name: str, text: str, said: str) -> None:
    """A gap in the versions, another name, JSON that breaks off, Avro that is none."""
    (folder / "usage_recorded" / name).write_text(text)
    with pytest.raises(SchemaError, match=said):
        load_schemas(folder)


def test_a_folder_without_schemas_is_named(tmp_path: Path) -> None:
    """A wrong path in the settings is said at once."""
    with pytest.raises(SchemaError, match="nowhere"):
        load_schemas(tmp_path / "nowhere")


def test_the_command_says_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0 when all is well, 1 with a line for each finding; nothing is released then."""
    assert main([], folder) == 0
    assert "compatible both ways" in capsys.readouterr().out
    (folder / "usage_recorded" / "v2.avsc").write_text("{")
    assert main(["--release"], folder) == 1
    assert "v2.avsc" in capsys.readouterr().err
    (folder / "usage_recorded" / "v2.avsc").unlink()
    (folder / "RELEASED").unlink()
    assert main(["--release"], folder) == 0
    assert "released: action_audited/v1.avsc, alert_raised/v1.avsc" in capsys.readouterr().out
