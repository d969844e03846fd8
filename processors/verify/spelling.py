"""How a document is spelled in the live store: by the codec of its kind, which knows the order of the fields."""

from __future__ import annotations

from typing import Any

import orjson

from processors.health import agent as provider_slot
from processors.states import Decoder
from processors.usage import agent as tenant_slot
from projections.live.canonical import encode

_DECODERS: dict[str, Decoder] = tenant_slot.DECODERS | provider_slot.DECODERS


def read(raw: bytes | None) -> Any:
    """The document that bytes spell; None when they spell none."""
    try:
        return None if raw is None else orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def spelled(key: str, document: Any) -> bytes:
    """Canonical bytes of a document of a key's kind. What the codec does not keep whole is spelled without it."""
    plain = encode(document)
    decode = _DECODERS.get(key.partition(":")[0])
    if decode is None:
        return plain
    raw = decode(plain).to_json()
    return raw if orjson.loads(raw) == orjson.loads(plain) else plain
