"""What holds of waits and gates whatever the figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import OutcomeKind
from events.outcomes_observed import OutcomeRun
from events.provider_changed import BreakerPolicy
from processors.breaker.rules import open_for_us
from projections.live.breaker import initial
from projections.live.gates import MAX_ASKS, fold_gates, rate_gate_until_us
from tests.breaker_story import MODEL, PROVIDER, SECOND_US, START_S

POLICIES = st.builds(
    BreakerPolicy,
    open_for_s=st.integers(1, 86_400),
    open_for_cap_s=st.integers(1, 86_400),
    jitter=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
)


@given(POLICIES, st.integers(1, 10_000), st.text(max_size=20), st.integers(1, 10**9))
def test_a_wait_lies_between_its_step_and_its_jitter(
    policy: BreakerPolicy, trips: int, deployment: str, version: int
) -> None:
    """The capped power of two, then up to the jitter's share more; the same each time it is asked."""
    step_us = min(policy.open_for_s * 2 ** (trips - 1), policy.open_for_cap_s) * SECOND_US
    wait_us = open_for_us(policy, trips, deployment, version)
    assert step_us <= wait_us <= step_us * (1 + policy.jitter)
    assert wait_us == open_for_us(policy, trips, deployment, version)


def test_jitter_is_uniform() -> None:
    """Over many deployments each tenth of the range gets its tenth, within a quarter of it."""
    policy = BreakerPolicy()
    tenths = [0] * 10
    for number in range(5_000):
        extra_us = open_for_us(policy, 1, f"openai/model-{number}", 1) - 30 * SECOND_US
        tenths[extra_us * 10 // (6 * SECOND_US)] += 1
    assert all(375 <= count <= 625 for count in tenths)


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(-5, 900)), max_size=MAX_ASKS),
    st.sampled_from([1, 30, 300, 3600]),
)
def test_the_rate_gate_is_the_latest_of_all_capped_asks(asks: list[tuple[int, int]], cap_s: int) -> None:
    """Under any cap that is set, now or later; only what is over anyway may be forgotten."""
    breaker = initial(PROVIDER, MODEL)
    clock_us = START_S * SECOND_US
    gates = [0]
    for after_s, wait_s in asks:
        clock_us += after_s * SECOND_US
        until_us = clock_us + wait_s * SECOND_US
        run = OutcomeRun(
            kind=OutcomeKind.RATE_LIMITED, count=1, second=clock_us // SECOND_US, gate_until=until_us
        )
        breaker = fold_gates(breaker, run, clock_us)
        gates.append(min(until_us, clock_us + cap_s * SECOND_US))
    capped = type(breaker).from_json(
        breaker.to_json().replace(b'"gate_cap_s":300', b'"gate_cap_s":%d' % cap_s)
    )
    gate_us = rate_gate_until_us(capped)
    assert gate_us == max(gates) or max(gate_us, *gates) <= clock_us
