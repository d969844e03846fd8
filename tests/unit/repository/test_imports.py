"""What is imported is declared, so that no install depends on what other libraries happen to need."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.repository.checkout import PACKAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICE = (("events", "projections", "processors", "api", "demo"), ("embedding",))
SERVERS = (("embedded",), ("embedded",))
WORKSHOP = (("tests", "bench"), ("embedded", "dev"))


def declared(extras: tuple[str, ...]) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(one for extra in extras for one in optional[extra])]
    return {canonicalize_name(Requirement(one).name) for one in named}


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each absolute import of a folder's files, as (place, top-level name)."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            match node:
                case ast.Import(names=names):
                    yield from ((place, name.name.split(".")[0]) for name in names)
                case ast.ImportFrom(module=str(module), level=0):
                    yield place, module.split(".")[0]


@pytest.mark.parametrize("folders, extras", [SERVICE, SERVERS, WORKSHOP])
def test_every_library_that_is_imported_is_declared(
    folders: tuple[str, ...], extras: tuple[str, ...]
) -> None:
    """An import of another's package is in pyproject.toml, in the extra that the folder may count on."""
    # The standard library has `compression` from 3.14 on.
    ours = {*PACKAGES, "bench", "tests", "compression", *sys.stdlib_module_names}
    owners, allowed = packages_distributions(), declared(extras)
    missing = [
        f"{place} imports {name}: declare it in pyproject.toml, then `make lock`"
        for folder in folders
        for place, name in imported(ROOT / folder)
        if name not in ours and not {canonicalize_name(owner) for owner in owners.get(name, ())} & allowed
    ]
    assert not missing, "\n".join(missing)
