"""Live state is exact under faults: many seeds, each another world and other faults."""

from __future__ import annotations

from tests.simulation.scenario import simulate


def test_live_state_is_exact_whatever_the_seed_breaks(seed: int) -> None:
    """Crashes, silences, pauses, duplicates, rebalances, flushes and rollbacks end in the state of the naive folds."""
    report = simulate(seed)
    assert not report.wrong, str(report)


def test_a_seed_is_the_same_run_each_time() -> None:
    """What a seed found can be found again."""
    assert str(simulate(11)) == str(simulate(11))
