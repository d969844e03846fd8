"""One record of every released schema version as it lies on logs for good: `<type>.v<n>.hex`, and what it says in JSON.

`python -m tests.golden` writes the bytes that are missing, for the newest version of each type, from its JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """`<type>.v<n>` of all that is here."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def raw_of(name: str) -> bytes:
    """The record's value, header included."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())


def values_of(name: str) -> dict[str, Any]:
    """The record's plain values. In the JSON a byte is the character of its number."""
    values: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    if name.startswith("dead_lettered"):
        for part in (values, *values["headers"]):
            part |= {
                key: part[key].encode("latin-1") for key in ("key", "value") if part.get(key) is not None
            }
    for run in values.get("runs", ()):
        if "calls" in run:
            run["calls"] = run["calls"].encode("latin-1")
    return values
