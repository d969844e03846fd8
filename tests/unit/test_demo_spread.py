"""From the call that tripped a breaker to the other gateways."""

from __future__ import annotations

from typing import Any

from demo.naive_log import Kept
from demo.outgoing import PUBLISHED_HEADER
from demo.spread import FaultTime, percentile, trips

FAILED, FINE = "SERVER_ERROR", "SUCCESS"


def usage(
    offset: int, outcome: str, *, model: str = "gpt-4", event_id: str = "", published_us: int = 0
) -> Kept:
    value = {
        "event_id": event_id or f"u{offset}",
        "source": "gateway-0",
        "provider": "openai",
        "model": model,
        "region": None,
        "outcome": outcome,
    }
    return Kept(1, offset, {PUBLISHED_HEADER: str(published_us or offset * 1000).encode()}, value)


def observed(start: int, end: int, *runs: tuple[str, int]) -> Kept:
    value = {
        "provider": "openai",
        "model": "gpt-4",
        "region": None,
        "source_topic": "usage",
        "source_partition": 1,
        "source_start": start,
        "source_end": end,
        "runs": [{"kind": kind, "count": count} for kind, count in runs],
    }
    return Kept(3, 7, {}, value)


def opened(**changed: Any) -> Kept:
    value = {
        "event_id": "t",
        "provider": "openai",
        "model": "gpt-4",
        "region": None,
        "version": 1,
        "to_state": "OPEN",
        "cause": "CONSECUTIVE_FAILURES",
        "occurred_at": 0,
        "outcomes_offset": 7,
        "run_index": 1,
        "run_calls": 2,
    }
    return Kept(3, 0, {}, value | changed)


LOG = {
    "usage": [
        usage(4, FAILED),
        usage(5, FINE),
        usage(6, FAILED, model="other"),
        usage(7, FAILED),
        usage(8, FAILED, event_id="u7"),
        usage(9, FAILED),
        usage(10, FAILED),
    ],
    "outcomes": [observed(5, 11, (FINE, 1), (FAILED, 3))],
    "breakers": [opened()],
}
SEEN = {
    "gateway-0": {("openai/gpt-4", 1): 9_500},
    "gateway-1": {("openai/gpt-4", 1): 29_000},
    "gateway-2": {("openai/gpt-4", 1): 49_000},
}


def test_the_tripping_call_is_found_through_the_events() -> None:
    """Of the range's records of the deployment, doubles left out, the one at the transition's place."""
    (trip,) = trips(LOG, SEEN, ())
    assert (trip.call_id, trip.published_us) == ("u9", 9_000)


def test_the_gateway_that_published_the_call_does_not_count() -> None:
    """What matters is how fast the others learn of it, in milliseconds."""
    (trip,) = trips(LOG, SEEN, ())
    assert trip.reached_ms == {"gateway-1": 20.0, "gateway-2": 40.0}


def test_a_gateway_that_never_saw_it_is_left_out() -> None:
    """It may have closed again before the cache was refreshed."""
    (trip,) = trips(LOG, {"gateway-1": {}}, ())
    assert trip.reached_ms == {}


def test_a_transition_while_a_fault_was_felt_is_told_apart() -> None:
    """Whether it was published in that time, or seen in it."""
    for start_us, end_us, name in ((9_000, 9_100, "kill"), (48_000, 60_000, "kill"), (50_000, 60_000, "")):
        (trip,) = trips(LOG, SEEN, [FaultTime("kill", start_us, end_us)])
        assert trip.fault == name


def test_a_transition_by_time_alone_has_no_call() -> None:
    """A half-open breaker that waited too long was tripped by nobody."""
    (trip,) = trips(LOG | {"breakers": [opened(cause="HALF_OPEN_TIMEOUT")]}, SEEN, ())
    assert (trip.call_id, trip.reached_ms) == ("", {})


def test_a_transition_that_is_on_the_log_twice_is_told_once() -> None:
    """A republished transition is a duplicate."""
    assert len(trips(LOG | {"breakers": [opened(), opened()]}, SEEN, ())) == 1


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: no value between two."""
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([3.0], 0.99)) == (50.0, 99.0, 3.0)
    assert percentile([], 0.5) is None
