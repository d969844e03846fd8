"""Seeds: the first ones and those that once broke, or the one that `--seed` names."""

from __future__ import annotations

import pytest

SEEDS = (*range(60), 260, 357, 514, 553, 585, 777, 1111, 1299)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seed N` runs the simulation of that seed alone."""
    parser.addoption("--seed", type=int, default=None, help="run the simulation of this seed alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a seed."""
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--seed")
        metafunc.parametrize("seed", SEEDS if one is None else [one])
