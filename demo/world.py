"""What a simulated provider answers to a call at an instant of history. Pure: it follows from the seed and the call.

Failures are those of outages (see incidents.py) and, at any time, a few that are nobody's outage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from demo.chance import chance
from demo.fleet import Deployment
from demo.incidents import Outage, failure_share
from demo.traffic import Request
from events.envelope import OutcomeKind

TIMEOUT_MS = 30_000
"""After so long a gateway gives a call up."""

_OUTAGE_KINDS = (
    (OutcomeKind.SERVER_ERROR, 50),
    (OutcomeKind.OVERLOADED, 25),
    (OutcomeKind.TIMEOUT, 12),
    (OutcomeKind.CONNECT_ERROR, 8),
    (OutcomeKind.STREAM_CUT, 5),
)
_USUAL_PER_100_000 = (
    (OutcomeKind.SERVER_ERROR, 150),
    (OutcomeKind.STREAM_CUT, 30),
    (OutcomeKind.RATE_LIMITED, 40),
    (OutcomeKind.CONTENT_FILTER, 200),
    (OutcomeKind.CONTEXT_LENGTH, 60),
    (OutcomeKind.CANCELLED, 300),
)
_STATUS_CODES = {
    OutcomeKind.SUCCESS: 200,
    OutcomeKind.SERVER_ERROR: 500,
    OutcomeKind.OVERLOADED: 529,
    OutcomeKind.RATE_LIMITED: 429,
    OutcomeKind.CONTENT_FILTER: 400,
    OutcomeKind.CONTEXT_LENGTH: 400,
    OutcomeKind.STREAM_CUT: 200,
    OutcomeKind.CANCELLED: 200,
}
_ERRORS = {
    OutcomeKind.SERVER_ERROR: "The server had an error while processing your request",
    OutcomeKind.OVERLOADED: "Overloaded",
    OutcomeKind.TIMEOUT: f"no answer within {TIMEOUT_MS} ms",
    OutcomeKind.CONNECT_ERROR: "connection refused",
    OutcomeKind.STREAM_CUT: "the stream ended before its end mark",
    OutcomeKind.RATE_LIMITED: "Rate limit reached",
    OutcomeKind.CONTENT_FILTER: "The response was filtered",
    OutcomeKind.CONTEXT_LENGTH: "This model's maximum context length is exceeded",
    OutcomeKind.CANCELLED: "the client went away",
}
_ANSWERED = frozenset({OutcomeKind.SUCCESS, OutcomeKind.STREAM_CUT, OutcomeKind.CANCELLED})


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ends, and when. Tokens are those that the provider bills: none when it did not serve."""

    outcome: OutcomeKind
    latency_ms: int
    input_tokens: int = 0
    output_tokens: int = 0
    first_token_ms: int | None = None
    status_code: int | None = None
    error: str | None = None
    retry_after_ms: int | None = None


def answer(
    seed: int,
    outages: Sequence[Outage],
    deployment: Deployment,
    request: Request,
    *,
    attempt: int,
    at_us: int,
) -> Answer:
    """What the deployment answers to one try of a request that is sent at `at_us`."""
    draw = chance(seed, "answer", request.number, attempt, deployment.name)
    share = failure_share(outages, deployment.provider, at_us)
    struck = draw.random() < share
    outcome = _draw(draw, _OUTAGE_KINDS) if struck else _usual(draw)
    slower = draw.uniform(0.8, 1.4) * (1 + 2 * share)
    first_token_ms = int(deployment.first_token_ms * slower)
    whole_ms = first_token_ms + int(request.output_tokens * deployment.ms_per_token * slower)
    if outcome is OutcomeKind.TIMEOUT or whole_ms > TIMEOUT_MS:
        return Answer(OutcomeKind.TIMEOUT, TIMEOUT_MS, error=_ERRORS[OutcomeKind.TIMEOUT])
    if outcome in _ANSWERED:
        return _answered(draw, outcome, request, first_token_ms, whole_ms)
    return Answer(
        outcome,
        latency_ms=5 if outcome is OutcomeKind.CONNECT_ERROR else draw.randint(40, 400),
        status_code=_STATUS_CODES.get(outcome),
        error=_ERRORS[outcome],
        retry_after_ms=draw.randint(2_000, 15_000) if outcome is OutcomeKind.RATE_LIMITED else None,
    )


def _answered(
    draw: Random, outcome: OutcomeKind, request: Request, first_token_ms: int, whole_ms: int
) -> Answer:
    """The provider served, to the end or in part; a part is billed as far as it came."""
    done = 1.0 if outcome is OutcomeKind.SUCCESS else draw.uniform(0.1, 0.9)
    return Answer(
        outcome,
        latency_ms=first_token_ms + int((whole_ms - first_token_ms) * done),
        input_tokens=request.input_tokens,
        output_tokens=int(request.output_tokens * done),
        first_token_ms=first_token_ms,
        status_code=_STATUS_CODES[outcome],
        error=_ERRORS.get(outcome),
    )


def _usual(draw: Random) -> OutcomeKind:
    rest = draw.randrange(100_000)
    for kind, count in _USUAL_PER_100_000:
        if rest < count:
            return kind
        rest -= count
    return OutcomeKind.SUCCESS


def _draw(draw: Random, kinds: tuple[tuple[OutcomeKind, int], ...]) -> OutcomeKind:
    (kind,) = draw.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
    return kind
