"""Headers of a record from a CloudEvent's attributes, as the Kafka binding of CloudEvents names them.

Trace context keeps its own names; an extension attribute that the envelope has no field for becomes `ce_<name>`, so that
nothing a producer said is lost.
"""

from __future__ import annotations

import re
from typing import Any

from events.publisher import Header

OWN_ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "time", "datacontenttype", "data", "data_base64"}
    | {"tenant", "correlationid", "causationid", "traceparent", "tracestate"}
)
"""What has a place of its own; `subject` and `dataschema` have none, and travel as extensions do."""

MAX_EXTENSIONS = 16
MAX_EXTENSION_CHARS = 1000
MAX_TRACESTATE_CHARS = 512

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TEXTS = frozenset({"subject", "dataschema"})
_NAME = re.compile(r"[a-z0-9]{1,20}")


class HeaderError(Exception):
    """An attribute cannot be a header; `path` leads to it from the CloudEvent."""

    def __init__(self, detail: str, *path: str) -> None:
        super().__init__(detail)
        self.path = path


def record_headers(item: dict[str, Any], traceparent: str | None) -> tuple[Header, ...]:
    """Headers of one CloudEvent; `traceparent` is for one that brings none of its own."""
    own = item.get("traceparent")
    state = item.get("tracestate")
    if own is None and state is None and OWN_ATTRIBUTES.issuperset(item):
        return (("traceparent", traceparent.encode()),) if traceparent else ()
    further = item.keys() - OWN_ATTRIBUTES
    headers: list[Header] = []
    if own is not None and not (isinstance(own, str) and TRACEPARENT.fullmatch(own)):
        raise HeaderError("must be a W3C traceparent, 00-<32 hex>-<16 hex>-<2 hex>", "traceparent")
    if own or traceparent:
        headers.append(("traceparent", (own or traceparent or "").encode()))
    if state is not None:
        if not isinstance(state, str) or len(state) > MAX_TRACESTATE_CHARS:
            raise HeaderError(f"must be a string of at most {MAX_TRACESTATE_CHARS} characters", "tracestate")
        headers.append(("tracestate", state.encode()))
    if len(further) > MAX_EXTENSIONS:
        raise HeaderError(f"has {len(further)} extension attributes; at most {MAX_EXTENSIONS} are kept")
    return (*headers, *(_extension(name, item[name]) for name in sorted(further)))


def _extension(name: str, value: Any) -> Header:
    if _NAME.fullmatch(name) is None:
        raise HeaderError(
            "is no attribute of an event, nor an extension: those are 1-20 of a-z and 0-9", name
        )
    match value:
        case bool() if name not in _TEXTS:
            text = "true" if value else "false"
        case int() if name not in _TEXTS:
            text = str(value)
        case str() if len(value) <= MAX_EXTENSION_CHARS:
            text = value
        case _:
            raise HeaderError(
                f"must be a string of at most {MAX_EXTENSION_CHARS} characters, an integer or a boolean", name
            )
    return f"ce_{name}", text.encode()
