"""The wheel holds the service and its contract, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from tests.unit.repository.checkout import PACKAGES, ROOT, tracked_files


def test_a_wheel_carries_the_code_its_data_and_the_schemas(tmp_path: Path) -> None:
    """Every tracked file of our packages is in the wheel, and the schemas lie under `events/_schemas`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    named = [path.relative_to(ROOT).as_posix() for path in tracked_files()]
    owed = {name for name in named if name.split("/")[0] in PACKAGES}
    owed |= {name.replace("schemas/", "events/_schemas/", 1) for name in named if name.startswith("schemas/")}
    assert owed <= shipped
    assert {name.split("/")[0] for name in shipped} == set(PACKAGES)
