"""Our top-level names are plain words, so nobody else may own them in the same environment."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.unit.repository.checkout import PACKAGES, ROOT


def test_no_other_distribution_owns_our_names() -> None:
    """No installed distribution but ours brings a top-level module of one of our names."""
    owners = packages_distributions()
    foreign = {name: set(owners.get(name, ())) - {"interlock-state-plane"} for name in (*PACKAGES, "bench")}
    assert not {name: sorted(others) for name, others in foreign.items() if others}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_name_of_ours_is_imported_from_this_checkout(name: str) -> None:
    """What the tests import is the code beside them, not an installed copy."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin) == ROOT / name / "__init__.py"
