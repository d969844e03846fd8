"""The Makefile explains itself."""

from __future__ import annotations

import os
import re
import subprocess

from tests.unit.repository.checkout import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PROMISED = {"demo", "up", "test", "test-kafka", "check", "bench", "ci", "lock", "docs", "clean"}


def help_text() -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "help"], cwd=ROOT, env=clean, check=True, capture_output=True, text=True
    ).stdout


def test_help_lists_every_target_with_what_it_does() -> None:
    """Each phony target stands in `make help` with a sentence, and nothing else does."""
    phony = set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE))
    listed = dict(re.findall(r"^  (\S+) +(\S.*)$", help_text(), re.MULTILINE))
    assert listed.keys() == phony
    assert phony >= PROMISED


def test_make_alone_prints_the_help() -> None:
    """Nothing is started or removed by typing `make`."""
    assert re.search(r"^\.DEFAULT_GOAL := help$", MAKEFILE, re.MULTILINE)


def test_every_target_that_runs_python_makes_its_environment_first() -> None:
    """A target that uses the environment depends on it, so that it works on a fresh clone."""
    rules = re.findall(r"^([a-z-]+):(.*?) ##.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert {name for name, _, _ in rules} >= PROMISED
    unready = [name for name, needs, recipe in rules if "$(BIN)" in recipe and "$(READY)" not in needs]
    assert not unready
