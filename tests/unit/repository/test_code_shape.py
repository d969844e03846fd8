"""The code stays in pieces that fit a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.unit.repository.checkout import PACKAGES, ROOT

FUNCTION_LINES = 70
FILE_LINES = 400


def sources() -> Iterator[Path]:
    for package in (*PACKAGES, "bench"):
        yield from (ROOT / package).rglob("*.py")


def test_every_function_fits_a_screen() -> None:
    """A function of ours has at most 70 lines, its docstring included."""
    too_long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines, at most {FUNCTION_LINES}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert not too_long, "split by what it does:\n" + "\n".join(too_long)


def test_every_file_holds_one_concept() -> None:
    """A file of ours has at most 400 lines."""
    too_long = [
        f"{path.relative_to(ROOT)} has {lines} lines, at most {FILE_LINES}"
        for path in sources()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES
    ]
    assert not too_long, "split by concept:\n" + "\n".join(too_long)


def test_every_package_says_what_it_reads_and_writes() -> None:
    """A package's `__init__.py` has a docstring, so that a reader knows the room at its door."""
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name == "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent
