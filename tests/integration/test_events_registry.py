"""Schema ids from a Confluent-compatible registry, over real HTTP."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.ports import free_port
from events.catalogue import TOPICS
from events.codec import Codec
from events.errors import InvalidEventError, LogUnavailableError, SchemaError
from events.registry import UNKNOWN_FOR_S, ConfluentRegistry, FolderRegistry, open_registry
from events.schemas import schemas_folder
from tests.integration.log import usage
from tests.integration.registry_server import FIRST_ID, RegistryServer, registry_server

USAGE = TOPICS["usage"]
DEFINITION = FolderRegistry().newest(USAGE)[1].definition


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as running:
        yield running


def registry(
    server: RegistryServer, folder: Path | None = None, clock: Clock | None = None
) -> ConfluentRegistry:
    return ConfluentRegistry(server.url, "interlock.", FolderRegistry(folder), 2.0, clock or Clock())


def next_version(tmp_path: Path, addition: dict[str, object]) -> Path:
    """The schemas with a second version of UsageRecorded, as a later release would bring them."""
    folder = tmp_path / "schemas"
    shutil.copytree(schemas_folder(), folder)
    definition = copy.deepcopy(DEFINITION)
    definition["fields"].append({"name": "new", "type": "string", "doc": "New.", **addition})
    (folder / "usage_recorded" / "v2.avsc").write_text(json.dumps(definition))
    return folder


def test_an_event_is_written_with_the_registrys_id(server: RegistryServer) -> None:
    """The schema is registered under `<topic>-value` once, and the id stands in the bytes."""
    codec = Codec(registry(server))
    events = [usage(), usage()]
    raws = [codec.encode(event) for event in events]
    assert all(int.from_bytes(raw[1:5], "big") == FIRST_ID for raw in raws)
    assert [codec.decode(USAGE, raw) for raw in raws] == events
    assert server.requests == [
        "POST /subjects/interlock.usage-value/versions",
        f"GET /schemas/ids/{FIRST_ID}",
    ]
    assert json.loads(server.schemas[0]) == DEFINITION


def test_another_process_reads_it_by_asking(server: RegistryServer) -> None:
    """One look-up for an id, however many records have it."""
    event = usage()
    raw = Codec(registry(server)).encode(event)
    reader = Codec(registry(server))
    server.requests.clear()
    assert [reader.decode(USAGE, raw) for _ in range(3)] == [event] * 3
    assert server.requests.count(f"GET /schemas/ids/{FIRST_ID}") == 1


def test_an_event_of_a_later_release_is_read(server: RegistryServer, tmp_path: Path) -> None:
    """Its field is not known here and is passed over; an older event is read there with the default."""
    later = Codec(registry(server, next_version(tmp_path, {"default": "x"})))
    today = Codec(registry(server))
    event = usage()
    raw = today.encode(event)
    assert later.decode_record(USAGE, raw)["new"] == "x"
    record = today.decode_record(USAGE, later._learn_writer(type(event))[0] + raw[5:] + b"\x02y")
    assert "new" not in record
    assert record["event_id"] == event.event_id


def test_an_unknown_id_is_refused_and_asked_for_again_later(server: RegistryServer) -> None:
    """Not for every record of a flood, and not never: it may be registered any moment."""
    clock = Clock()
    codec = Codec(registry(server, clock=clock))
    raw = Codec(registry(server)).encode(usage())
    late, server.schemas = server.schemas, []
    for _ in range(3):
        with pytest.raises(InvalidEventError, match="unknown_schema"):
            codec.decode(USAGE, raw)
    assert server.requests.count(f"GET /schemas/ids/{FIRST_ID}") == 1
    server.schemas = late
    clock.now_s += UNKNOWN_FOR_S + 1
    codec.decode(USAGE, raw)


def test_a_registry_that_is_away_is_no_fault_of_the_event() -> None:
    """Nobody listens: the log is unavailable, the record is not to be dead-lettered."""
    url = f"http://user:secret@127.0.0.1:{free_port()}"
    codec = Codec(ConfluentRegistry(url, "interlock.", FolderRegistry(), 1.0))
    with pytest.raises(LogUnavailableError, match="did not answer") as refused:
        codec.decode(USAGE, b"\0\0\0\0\7")
    assert "secret" not in str(refused.value)
    with pytest.raises(LogUnavailableError):
        codec.encode(usage())


@pytest.mark.parametrize("status", [500, 503, 401, 429, 404])
def test_a_registry_that_fails_is_no_fault_of_the_event(server: RegistryServer, status: int) -> None:
    """A 404 of a wrong address is none either: only the registry's own code says that there is no such schema."""
    server.failing = status
    server.foreign[7] = {"message": "sorry"}
    codec = Codec(registry(server))
    with pytest.raises(LogUnavailableError, match=str(status)):
        codec.decode(USAGE, b"\0\0\0\0\7")
    server.failing = None
    codec.encode(usage())


def test_an_answer_that_is_no_json_is_no_fault_of_the_event(
    server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's page."""
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "<html>")
    with pytest.raises(LogUnavailableError, match="did not answer"):
        registry(server).find(7)


def test_an_incompatible_schema_is_said_by_the_registry(server: RegistryServer, tmp_path: Path) -> None:
    """A conflict stops the writer: the file has to be mended."""
    Codec(registry(server)).encode(usage())
    with pytest.raises(SchemaError, match=r"refuses /subjects/interlock\.usage-value"):
        Codec(registry(server, next_version(tmp_path, {}))).encode(usage())


@pytest.mark.parametrize(
    "answer",
    [
        {"schema": "message Usage {}", "schemaType": "PROTOBUF"},
        {"schema": '"string"'},
        {"schema": '["null", "string"]'},
        {"schema": '{"type": "record"}'},
        {"schema": 7},
        {},
    ],
)
def test_an_id_of_something_else_is_refused(server: RegistryServer, answer: dict[str, object]) -> None:
    """Other teams use the registry too."""
    server.foreign[7] = answer
    with pytest.raises(InvalidEventError, match="incompatible_schema"):
        Codec(registry(server)).decode(USAGE, b"\0\0\0\0\7")


def test_a_schema_of_our_name_that_is_another_is_refused(server: RegistryServer) -> None:
    """It lacks what every event has, and there is no default for it."""
    stranger = {"type": "record", "name": "UsageRecorded", "namespace": "interlock.events", "fields": []}
    server.foreign[7] = {"schema": json.dumps(stranger)}
    with pytest.raises(InvalidEventError, match="incompatible_schema: schema 7"):
        Codec(registry(server)).decode(USAGE, b"\0\0\0\0\7")
    server.foreign[8] = {"schema": json.dumps({**stranger, "namespace": "elsewhere"})}
    with pytest.raises(InvalidEventError, match="wrong_type"):
        Codec(registry(server)).decode(USAGE, b"\0\0\0\0\x08")


def test_the_settings_choose() -> None:
    """With an address the registry's ids, without one the folder's."""
    assert isinstance(open_registry(None, "interlock.", None), FolderRegistry)
    assert isinstance(open_registry("http://127.0.0.1:1", "interlock.", None), ConfluentRegistry)
