"""An operator's YAML file, read into its model; what is wrong is said with file, line, place and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

MAX_BYTES = 2**20

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]
Mistake = tuple[Place, str]
"""Where, and what to do."""


class YamlFileError(Exception):
    """The file cannot be read, or says something that cannot be; the message names file, line, place and what to do."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that is YAML. `name` is what messages call it, `guide` the page of ours that tells how it is written."""

    name: str
    guide: str
    values: dict[str, Any]
    root: yaml.Node

    @classmethod
    def read(cls, path: Path, guide: str, *, named_by: str) -> Self:
        """The file at a path that a setting or an option names; YamlFileError when there is none that can be read."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise YamlFileError(f"{path} is larger than {MAX_BYTES} bytes: {guide} tells what goes there")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise YamlFileError(f"{path} cannot be read: {error}; {named_by} names it") from None
        return cls.parse(text, str(path), guide)

    @classmethod
    def parse(cls, text: str, name: str, guide: str) -> Self:
        """As `read`, of a text."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise YamlFileError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
        if root is None or not isinstance(values, dict):
            raise YamlFileError(
                f"{name}: write `version: 1` and what shall be; there are examples in {guide}"
            )
        return cls(name, guide, values, root)

    def holds(self, model: type[Model]) -> Model:
        """What it says; YamlFileError names all that is wrong with it."""
        try:
            return model.model_validate(self.values)
        except ValidationError as error:
            raise self.refused(
                (finding["loc"], self._what(finding["type"], finding["msg"]))
                for finding in error.errors(include_url=False, include_input=False)
            ) from None

    def refused(self, mistakes: Iterable[Mistake]) -> YamlFileError:
        """All mistakes in one error."""
        return YamlFileError(
            "; ".join(
                f"{self.name}:{_line_of(self.root, place)}: {'.'.join(map(str, place)) or 'the file'}: {what}"
                for place, what in mistakes
            )
        )

    def _what(self, kind: str, message: str) -> str:
        return {
            "extra_forbidden": f"no such key; {self.guide} lists them all",
            "missing": "is missing, add it",
            "string_type": "has to be a text: write it in quotes, money too",
        }.get(kind, message.removeprefix("Value error, "))


def _line_of(node: yaml.Node, place: Place) -> int:
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
