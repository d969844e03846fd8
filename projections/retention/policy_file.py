"""Policies read from their file."""

from __future__ import annotations

from pathlib import Path

from projections.retention.policy import Policies
from projections.yaml_file import YamlFile

DEFAULTS = Path(__file__).with_name("defaults.yaml")
GUIDE = "docs/retention.md"


def load_policies(path: Path | None) -> Policies:
    """The policies of a file, or the shipped ones; YamlFileError names all that is wrong with them."""
    return YamlFile.read(path or DEFAULTS, GUIDE, named_by="INTERLOCK_RETENTION__POLICIES").holds(Policies)


def parse_policies(text: str, file: str) -> Policies:
    """As `load_policies`, of a text; `file` is what the messages call it."""
    return YamlFile.parse(text, file, GUIDE).holds(Policies)
