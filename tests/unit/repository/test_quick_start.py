"""The command line is there at once: what only one command needs is imported when that one runs."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.repository.checkout import PACKAGES, ROOT

ASKED = "import api.cli.app, sys; print(*{name.split('.')[0] for name in sys.modules})"
LATE = {*PACKAGES, "aiokafka", "fastapi", "faust", "httpx", "pydantic", "redis", "yaml"} - {"api"}


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    """The commands' table needs no other package of ours, and none of the libraries that take long to import."""
    answer = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    imported = set(answer.stdout.split())
    assert "typer" in imported
    assert not imported & LATE
