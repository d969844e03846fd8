"""The lock says what is installed: names and exact versions, nothing else."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.repository.checkout import ROOT

LOCK = (ROOT / "requirements.lock").read_text().splitlines()
PINNED = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*==[0-9][0-9a-z.]*(?: ; .+)?")


def locked() -> dict[str, str]:
    """Versions by name, of the lines that apply to this interpreter."""
    requirements = [Requirement(line) for line in LOCK if line and not line.startswith("#")]
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


def test_a_line_of_the_lock_is_a_name_and_an_exact_version() -> None:
    """No option, address, range or editable path stands in the lock."""
    odd = [line for line in LOCK if line and not line.startswith("#") and not PINNED.fullmatch(line)]
    assert not odd, "\n".join(odd)


def test_every_library_that_we_name_is_locked_in_its_range() -> None:
    """`make lock` was run after the last change of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    versions = locked()
    stale = [
        name
        for name in named
        if not (wanted := Requirement(name)).specifier.contains(
            versions.get(canonicalize_name(wanted.name), "0")
        )
    ]
    assert not stale, f"run `make lock`: {stale}"


def test_what_is_installed_is_what_is_locked() -> None:
    """The tests speak of the versions that users get."""
    differing = [
        f"{name} {version(name)}, locked {pin}" for name, pin in locked().items() if version(name) != pin
    ]
    assert not differing, f"run `make check` once: {differing}"
