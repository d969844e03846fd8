"""A schema registry that keeps to the Confluent REST API as far as Interlock uses it, on the standard library's HTTP server.

Written after the API's reference: an id belongs to a schema, whatever the subject; a subject's schemas are FULL_TRANSITIVE;
an unknown id is a 404 with error code 40403, an incompatible schema a 409, one that cannot be parsed a 422 with 42201.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

from events.compatibility import incompatibilities
from events.errors import SchemaError
from events.schemas import SchemaVersion, schema_version

FIRST_ID = 101


class RegistryServer(ThreadingHTTPServer):
    """What is registered, and the requests that came. `failing` answers everything with that status."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.schemas: list[str] = []
        self.subjects: dict[str, list[SchemaVersion]] = {}
        self.requests: list[str] = []
        self.failing: int | None = None
        self.foreign: dict[int, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def register(self, subject: str, schema: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        try:
            version = schema_version(subject, len(self.subjects.get(subject, ())) + 1, json.loads(schema))
        except (ValueError, SchemaError) as error:
            return 422, {"error_code": 42201, "message": f"Invalid schema: {error}"}
        versions = [*self.subjects.get(subject, ()), version]
        if found := incompatibilities(versions):
            return 409, {"error_code": 409, "message": "; ".join(found)}
        canonical = json.dumps(json.loads(schema), sort_keys=True)
        if canonical not in self.schemas:
            self.schemas.append(canonical)
            self.subjects[subject] = versions
        return 200, {"id": FIRST_ID + self.schemas.index(canonical)}

    def look_up(self, subject: str, schema: str) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        if subject not in self.subjects:
            return 404, {"error_code": 40401, "message": f"Subject {subject} not found"}
        canonical = json.dumps(json.loads(schema), sort_keys=True)
        held = [json.dumps(one.definition, sort_keys=True) for one in self.subjects[subject]]
        if canonical not in held:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, {"subject": subject, "id": FIRST_ID + self.schemas.index(canonical)}

    def find(self, schema_id: int) -> tuple[int, dict[str, Any]]:
        """Status and answer."""
        if schema_id in self.foreign:
            return 200, self.foreign[schema_id]
        if not 0 <= schema_id - FIRST_ID < len(self.schemas):
            return 404, {"error_code": 40403, "message": f"Schema {schema_id} not found"}
        return 200, {"schema": self.schemas[schema_id - FIRST_ID]}


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        match self.path.split("/"):
            case ["", "schemas", "ids", schema_id]:
                self._answer(*self.server.find(int(schema_id)))
            case _:
                self._answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        match self.path.split("/"):
            case ["", "subjects", subject]:
                self._answer(*self.server.look_up(unquote(subject), body["schema"]))
            case ["", "subjects", subject, "versions"]:
                self._answer(*self.server.register(unquote(subject), body["schema"]))
            case _:
                self._answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        raw = json.dumps(content).encode()
        self.send_response(self.server.failing or status)
        self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """The test asks `requests`."""


@contextmanager
def registry_server() -> Iterator[RegistryServer]:
    """A registry that answers for the time of the block."""
    with RegistryServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
