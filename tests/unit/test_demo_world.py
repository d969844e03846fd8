"""How the simulated providers answer."""

from __future__ import annotations

from collections import Counter

from demo.fleet import ANTHROPIC, AZURE_FAST, DEPLOYMENTS, OPENAI_FAST
from demo.incidents import Outage
from demo.options import DEFAULT_AT, DemoOptions
from demo.traffic import Request, requests_of
from demo.world import TIMEOUT_MS, answer
from events.envelope import FAILURES, OutcomeKind
from events.pricing import price_call

AT_US = int(DEFAULT_AT.timestamp()) * 1_000_000
GRAVE = (Outage("openai", AT_US, AT_US + 10**12, 3, 0.95, "grave"),)


def requests() -> tuple[Request, ...]:
    return requests_of(DemoOptions.of(minutes=15))


def test_the_same_call_is_answered_the_same_way() -> None:
    """An answer follows from seed, request, try, deployment and instant: a gateway draws nothing itself."""
    request = requests()[0]
    first = answer(7, GRAVE, OPENAI_FAST, request, attempt=1, at_us=request.at_us)
    assert first == answer(7, GRAVE, OPENAI_FAST, request, attempt=1, at_us=request.at_us)


def test_an_outage_fails_its_share_of_the_calls() -> None:
    """Of the calls to a struck provider about 95 in 100 fail, in ways that a breaker counts."""
    outcomes = Counter(
        answer(7, GRAVE, OPENAI_FAST, r, attempt=1, at_us=r.at_us).outcome in FAILURES for r in requests()
    )
    assert 0.9 < outcomes[True] / outcomes.total() < 0.99


def test_an_outage_strikes_its_own_provider_alone() -> None:
    """The other providers answer as ever: nearly always well."""
    for deployment in (ANTHROPIC, AZURE_FAST):
        outcomes = Counter(
            answer(7, GRAVE, deployment, r, attempt=1, at_us=r.at_us).outcome in FAILURES for r in requests()
        )
        assert outcomes[True] / outcomes.total() < 0.03


def test_nobody_waits_longer_than_the_timeout() -> None:
    """A call ends by the timeout, as TIMEOUT, without tokens."""
    answers = [answer(7, GRAVE, OPENAI_FAST, r, attempt=1, at_us=r.at_us) for r in requests()]
    assert max(a.latency_ms for a in answers) == TIMEOUT_MS
    assert all(a.input_tokens == 0 for a in answers if a.outcome is OutcomeKind.TIMEOUT)


def test_only_served_calls_are_billed() -> None:
    """A success bills all tokens, a refused call none."""
    for request in requests():
        found = answer(7, GRAVE, OPENAI_FAST, request, attempt=1, at_us=request.at_us)
        if found.outcome is OutcomeKind.SUCCESS:
            assert (found.input_tokens, found.output_tokens) == (request.input_tokens, request.output_tokens)
        if found.outcome is OutcomeKind.SERVER_ERROR:
            assert (found.input_tokens, found.output_tokens) == (0, 0)


def test_a_rate_limit_says_how_long_to_wait() -> None:
    """A 429 comes with Retry-After, the others do not."""
    request = requests()[0]
    answers = [answer(seed, (), OPENAI_FAST, request, attempt=1, at_us=AT_US) for seed in range(10_000)]
    limited = [a for a in answers if a.outcome is OutcomeKind.RATE_LIMITED]
    assert limited
    assert all(a.retry_after_ms and a.status_code == 429 for a in limited)


def test_every_model_of_the_fleet_has_a_real_price() -> None:
    """The price list knows each of them at the instant that the demo plays by default."""
    for deployment in DEPLOYMENTS.values():
        cost = price_call(deployment.provider, deployment.model, AT_US, input_tokens=1000, output_tokens=100)
        assert cost, deployment.name
