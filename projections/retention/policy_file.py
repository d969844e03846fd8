"""Policies read from their file; what is wrong is said with file, line, field and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from projections.retention.errors import PolicyError
from projections.retention.policy import Policies

DEFAULTS = Path(__file__).with_name("defaults.yaml")
MAX_BYTES = 2**20


def load_policies(path: Path | None) -> Policies:
    """The policies of a file, or the shipped ones; PolicyError names all that is wrong with them."""
    file = path or DEFAULTS
    try:
        if file.stat().st_size > MAX_BYTES:
            raise PolicyError(f"{file} is larger than {MAX_BYTES} bytes: that is no file of policies")
        return parse_policies(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"{file} cannot be read: {error}; INTERLOCK_RETENTION__POLICIES names the file of policies"
        ) from None


def parse_policies(text: str, file: str) -> Policies:
    """As `load_policies`, of a text; `file` is what the messages call it."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise PolicyError(
            f"{file}: write `version: 1` and a list of `policies`; there are examples in docs/retention.md"
        )
    try:
        return Policies.model_validate(values)
    except ValidationError as error:
        findings = [
            _finding(file, root, finding["loc"], finding["type"], finding["msg"])
            for finding in error.errors(include_url=False, include_input=False)
        ]
        raise PolicyError("; ".join(findings)) from None


def _finding(file: str, root: Any, place: tuple[int | str, ...], kind: str, message: str) -> str:
    what = {
        "extra_forbidden": "no such key; docs/retention.md lists them all",
        "missing": "is missing, add it",
    }.get(kind, message.removeprefix("Value error, "))
    field = ".".join(str(part) for part in place) or "the file"
    return f"{file}:{line_of(root, place)}: {field}: {what}"


def line_of(node: Any, place: tuple[int | str, ...]) -> int:
    """The line of the innermost part of the place that is there."""
    line = int(node.start_mark.line) + 1
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            key, node = found[0]
            line = int(key.start_mark.line) + 1
            continue
        else:
            break
        line = int(node.start_mark.line) + 1
    return line
