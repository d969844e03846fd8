"""Patterns of names: `*` is anything, `?` one character, all else itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

_LIKE_SPECIAL = re.compile(r"([\\%_])")


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(letter, re.escape(letter)) for letter in glob), re.DOTALL)


def matches(globs: Sequence[str], name: str) -> bool:
    """Whether the name is one that any of the patterns describes."""
    return any(_pattern(glob).fullmatch(name) for glob in globs)


def like(glob: str) -> str:
    """The same pattern for SQL's LIKE, with a backslash as its escape."""
    return _LIKE_SPECIAL.sub(r"\\\1", glob).replace("*", "%").replace("?", "_")
