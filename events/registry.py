"""Schema ids: from the schemas folder (fingerprints), or from a Confluent-compatible registry."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from events.catalogue import TOPICS, Topic
from events.errors import LogUnavailableError, SchemaError
from events.schemas import SchemaVersion, load_schemas, schema_version


class Registry(Protocol):
    """Gives the writer schema of each id, and the id of each topic's newest schema."""

    def newest(self, topic: Topic) -> tuple[int, SchemaVersion]:
        """Id and schema that an event of the topic is written with."""
        ...

    def find(self, schema_id: int) -> SchemaVersion | None:
        """The schema of an id; None when there is no such id. Raises LogUnavailableError when nobody can tell."""
        ...


@dataclass(slots=True)
class FolderRegistry:
    """Ids are fingerprints of the schemas in a folder."""

    folder: Path | None = None
    _versions: dict[str, list[SchemaVersion]] = field(init=False)
    _by_id: dict[int, SchemaVersion] = field(init=False)

    def __post_init__(self) -> None:
        self._versions = load_schemas(self.folder)
        self._by_id = {version.schema_id: version for versions in self._versions.values() for version in versions}
        missing = {topic.folder for topic in TOPICS.values()} - set(self._versions)
        if missing:
            raise SchemaError(f"no schema for {', '.join(sorted(missing))} in {self.folder or 'schemas/'}")

    def newest(self, topic: Topic) -> tuple[int, SchemaVersion]:
        """Id and schema that an event of the topic is written with."""
        version = self._versions[topic.folder][-1]
        return version.schema_id, version

    def find(self, schema_id: int) -> SchemaVersion | None:
        """The schema of an id in the folder."""
        return self._by_id.get(schema_id)


@dataclass(slots=True)
class ConfluentRegistry:
    """Ids are given by a registry; the schemas of the folder are registered under `<topic>-value` when first needed.

    A look-up happens once per id and blocks for at most `timeout_s`. An unknown id is asked for again after the
    registry said no, because it may have been registered since.
    """

    url: str
    topic_prefix: str
    folder: FolderRegistry
    timeout_s: float = 5.0
    _newest: dict[str, tuple[int, SchemaVersion]] = field(init=False, default_factory=dict)
    _by_id: dict[int, SchemaVersion] = field(init=False, default_factory=dict)

    def newest(self, topic: Topic) -> tuple[int, SchemaVersion]:
        """Registers the folder's newest schema of the topic and keeps its id."""
        if topic.name not in self._newest:
            _, version = self.folder.newest(topic)
            subject = f"{self.topic_prefix}{topic.name}-value"
            answer = self._call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(version.definition)})
            if answer is None:
                raise SchemaError(f"registry {self.url} has no place for subject {subject}")
            self._newest[topic.name] = (int(str(answer["id"])), version)
        return self._newest[topic.name]

    def find(self, schema_id: int) -> SchemaVersion | None:
        """The schema of an id, asked of the registry once."""
        if schema_id not in self._by_id:
            answer = self._call("GET", f"/schemas/ids/{schema_id}", None)
            if answer is None:
                return None
            definition = json.loads(str(answer["schema"]))
            folder = next((t.folder for t in TOPICS.values() if t.event.__name__ == definition.get("name")), "")
            self._by_id[schema_id] = schema_version(folder, 0, definition)
        return self._by_id[schema_id]

    def _call(self, method: str, path: str, body: dict[str, str] | None) -> dict[str, object] | None:
        headers = {"content-type": "application/vnd.schemaregistry.v1+json"}
        try:
            response = httpx.request(
                method, self.url.rstrip("/") + path, json=body, headers=headers, timeout=self.timeout_s
            )
        except httpx.HTTPError as error:
            raise LogUnavailableError(f"schema registry {self.url} did not answer: {error!r}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code == httpx.codes.CONFLICT:
            raise SchemaError(f"registry {self.url} finds the schema incompatible at {path}: {response.text[:500]}")
        if response.is_error:
            raise LogUnavailableError(f"schema registry {self.url} said {response.status_code}: {response.text[:200]}")
        answer: dict[str, object] = response.json()
        return answer


def open_registry(url: str | None, topic_prefix: str, folder: Path | None) -> Registry:
    """The registry of the settings: the one at `url`, else the folder."""
    shipped = FolderRegistry(folder)
    return ConfluentRegistry(url, topic_prefix, shipped) if url else shipped
