"""One spelling for each state: the bytes that are stored, compared and hashed."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import orjson

_LEAST = -(2**63)
_MOST = 2**64 - 1


def encode(value: object) -> bytes:
    """JSON with sorted keys and without blanks. An integer beyond 64 bits becomes a decimal string: read with `int`.

    Sums may outgrow 64 bits although no event does, and a fold must not stop for it.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_narrow(value), option=orjson.OPT_SORT_KEYS)


def _narrow(value: object) -> object:
    if isinstance(value, dict):
        return {key: _narrow(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_narrow(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _narrow(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return str(value)
    return value
