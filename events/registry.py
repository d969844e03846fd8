"""Schema ids: from the schemas folder (fingerprints), or from a Confluent-compatible registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from events.catalogue import TOPICS, Topic
from events.errors import InvalidEventError, LogUnavailableError, SchemaError
from events.schemas import SchemaVersion, load_schemas, schema_version

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
SUBJECT_NOT_FOUND = 40401
SCHEMA_NOT_FOUND = 40403
_NOT_THERE = (SUBJECT_NOT_FOUND, SCHEMA_NOT_FOUND)
UNKNOWN_FOR_S = 10.0
UNKNOWN_IDS = 10_000


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
    _by_id: dict[int, SchemaVersion] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._versions = load_schemas(self.folder)
        for version in (version for versions in self._versions.values() for version in versions):
            other = self._by_id.setdefault(version.schema_id, version)
            if other.folder != version.folder:
                raise SchemaError(f"{version.folder} and {other.folder} have one fingerprint: rename a field")
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

    A look-up happens once per id and blocks for at most `timeout_s`. The answer that there is no such id holds for
    UNKNOWN_FOR_S, because it may be registered any moment.
    """

    url: str
    topic_prefix: str
    folder: FolderRegistry
    timeout_s: float = 5.0
    clock_s: Callable[[], float] = monotonic
    _newest: dict[str, tuple[int, SchemaVersion]] = field(init=False, default_factory=dict)
    _by_id: dict[int, SchemaVersion] = field(init=False, default_factory=dict)
    _unknown_until: dict[int, float] = field(init=False, default_factory=dict)

    def newest(self, topic: Topic) -> tuple[int, SchemaVersion]:
        """Registers the folder's newest schema of the topic and keeps its id."""
        if topic.name not in self._newest:
            _, version = self.folder.newest(topic)
            answer = self._ask("POST", f"{self._subject(topic)}/versions", _body(version))
            self._newest[topic.name] = (_id_of(answer, self._place), version)
        return self._newest[topic.name]

    def is_registered(self, topic: Topic) -> bool:
        """Whether the folder's newest schema of the topic is there already; nothing is registered."""
        return self._ask("POST", self._subject(topic), _body(self.folder.newest(topic)[1])) is not None

    def find(self, schema_id: int) -> SchemaVersion | None:
        """The schema of an id. InvalidEventError when the registry has something else than an Avro record under it."""
        known = self._by_id.get(schema_id)
        if known is not None:
            return known
        if self._unknown_until.get(schema_id, 0.0) > self.clock_s():
            return None
        answer = self._ask("GET", f"/schemas/ids/{schema_id}")
        if answer is None:
            if len(self._unknown_until) >= UNKNOWN_IDS:
                self._unknown_until.clear()
            self._unknown_until[schema_id] = self.clock_s() + UNKNOWN_FOR_S
            return None
        self._by_id[schema_id] = _schema_of(answer, schema_id)
        return self._by_id[schema_id]

    def _subject(self, topic: Topic) -> str:
        return f"/subjects/{quote(f'{self.topic_prefix}{topic.name}-value', safe='')}"

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any] | None:
        """The registry's answer; None when it says that there is no such schema."""
        headers = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE}
        try:
            response = httpx.request(
                method, self.url.rstrip("/") + path, json=body, headers=headers, timeout=self.timeout_s
            )
            answer: dict[str, Any] = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise LogUnavailableError(f"schema registry {self._place} did not answer: {error!r}") from error
        if response.status_code == httpx.codes.NOT_FOUND and answer.get("error_code") in _NOT_THERE:
            return None
        if response.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise SchemaError(f"schema registry {self._place} refuses {path}: {response.text[:500]}")
        if response.is_error:
            raise LogUnavailableError(
                f"schema registry {self._place} said {response.status_code} to {path}: {response.text[:200]}"
            )
        return answer

    @property
    def _place(self) -> str:
        """The address for messages, without a password."""
        return str(httpx.URL(self.url).copy_with(userinfo=b""))


def _body(version: SchemaVersion) -> dict[str, str]:
    return {"schema": json.dumps(version.definition)}


def _id_of(answer: dict[str, Any] | None, place: str) -> int:
    schema_id = (answer or {}).get("id")
    if not isinstance(schema_id, int) or not 0 <= schema_id < 2**31:
        raise LogUnavailableError(f"schema registry {place} gave no id but {answer}")
    return schema_id


def _schema_of(answer: dict[str, Any], schema_id: int) -> SchemaVersion:
    try:
        return schema_version("", 0, json.loads(answer["schema"]))
    except (KeyError, TypeError, ValueError, SchemaError) as error:
        raise InvalidEventError(
            "incompatible_schema", f"the schema {schema_id} is of no event: {error!r}"
        ) from None


def open_registry(url: str | None, topic_prefix: str, folder: Path | None) -> Registry:
    """The registry of the settings: the one at `url`, else the folder."""
    shipped = FolderRegistry(folder)
    return ConfluentRegistry(url, topic_prefix, shipped) if url else shipped


def unregistered(registry: Registry) -> list[str]:
    """Short names of the topics whose newest schema a registry does not have yet; none without a registry."""
    if not isinstance(registry, ConfluentRegistry):
        return []
    return [topic.name for topic in TOPICS.values() if not registry.is_registered(topic)]
