"""A worker leaves nothing behind where it was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.settings import LogSettings
from processors.app import create_app


def test_a_worker_makes_no_folders_where_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its container is read-only: Faust's folders for tables, which there are none of, would stop it."""
    monkeypatch.chdir(tmp_path)
    create_app(LogSettings())._create_directories()
    assert list(tmp_path.iterdir()) == []
