"""Usage records as gateways would send them: the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import Final

from events.budget_changed import BudgetChanged, BudgetLevel, BudgetPeriod
from events.catalogue import TOPICS
from events.codec import Codec
from events.envelope import OutcomeKind
from events.ids import derived_id, uuid7
from events.publisher import Encoded, Publisher
from events.usage_recorded import UsageRecorded

TENANTS: Final = 10
USERS: Final = 50
TEAMS: Final = 7
DEPLOYMENTS: Final = (
    ("openai", "gpt-4o", "eastus"),
    ("openai", "gpt-4o-mini", None),
    ("anthropic", "claude-sonnet-4-5", None),
    ("google", "gemini-2.5-pro", "europe-west4"),
    ("mistral", "mistral-large-2411", None),
)
FAILURE_SHARE: Final = 0.03
FAILURES: Final = (
    (OutcomeKind.SERVER_ERROR, 503, "upstream connect error"),
    (OutcomeKind.TIMEOUT, None, "no answer in time"),
    (OutcomeKind.OVERLOADED, 529, "overloaded_error"),
    (OutcomeKind.RATE_LIMITED, 429, "rate limit reached for requests"),
)
PER_SECOND: Final = 5_000
"""Record time goes on by one second in so many records, however quickly they are written."""

APPENDED_AT_ONCE: Final = 2_000


def usage_events(count: int, start_us: int, seed: int = 7) -> Iterator[UsageRecorded]:
    """Calls of `TENANTS` tenants with `USERS` users in all, to five deployments, a few of which fail."""
    random = Random(seed)
    step_us = 1_000_000 // PER_SECOND
    for number in range(count):
        at_us = start_us + number * step_us
        user = random.randrange(USERS)
        provider, model, region = random.choice(DEPLOYMENTS)
        input_tokens, output_tokens = random.randrange(50, 4_000), random.randrange(1, 800)
        latency_ms = random.randrange(300, 9_000)
        failure = random.choice(FAILURES) if random.random() < FAILURE_SHARE else None
        kind, status, error = failure or (OutcomeKind.SUCCESS, 200, None)
        call = f"req-{random.getrandbits(48):012x}"
        yield UsageRecorded(
            event_id=uuid7(at_us, random.randbytes(10)),
            occurred_at=at_us,
            source=f"gateway-{number % 4}",
            tenant=f"tenant-{user % TENANTS:02}",
            correlation_id=call,
            request_id=call,
            provider=provider,
            model=model,
            region=region,
            org="research" if user % 3 else "sales",
            team=f"team-{user % TEAMS}",
            user=f"user-{user:02}",
            api_key=f"key-{user:02}-{number % 2}",
            outcome=kind,
            status_code=status,
            error=error,
            input_tokens=input_tokens,
            output_tokens=0 if failure else output_tokens,
            cached_input_tokens=input_tokens // 4,
            latency_ms=latency_ms,
            first_token_ms=None if failure else latency_ms // 5,
            retry_after_ms=2_000 if kind is OutcomeKind.RATE_LIMITED else None,
            cost_nano_usd=0 if failure else 2_500 * input_tokens + 10_000 * output_tokens,
            price_version="genai-prices 0.0.31",
            breaker_epoch=0,
            attempt=1,
            attributes={},
        )


def usage_records(codec: Codec, count: int, start_us: int, seed: int = 7) -> Iterator[Encoded]:
    """The same as records, with their times."""
    key_of = TOPICS["usage"].key_of
    for event in usage_events(count, start_us, seed):
        yield Encoded("usage", key_of(event).encode(), codec.encode(event), event.occurred_at // 1000)


async def append_all(publisher: Publisher, records: Iterable[Encoded]) -> None:
    """Append records in their order, many to a batch of the log, as a busy log holds them."""
    left = iter(records)
    while chunk := list(islice(left, APPENDED_AT_ONCE)):
        await publisher.append_encoded(chunk)


def monthly_budgets(at_us: int) -> list[BudgetChanged]:
    """A budget for each tenant, each of its teams and each of its users, set at that time."""
    limits: list[tuple[str, BudgetLevel, str | None]] = []
    for number in range(TENANTS):
        tenant = f"tenant-{number:02}"
        limits.append((tenant, BudgetLevel.TENANT, None))
        limits += [(tenant, BudgetLevel.TEAM, f"team-{team}") for team in range(TEAMS)]
        limits += [(tenant, BudgetLevel.USER, f"user-{user:02}") for user in range(number, USERS, TENANTS)]
    return [
        BudgetChanged(
            event_id=derived_id("bench:budget", f"{tenant}/{number}"),
            occurred_at=at_us,
            source="bench",
            tenant=tenant,
            budget_id=f"budget-{number}",
            version=1,
            level=level,
            subject=subject,
            period=BudgetPeriod.MONTH,
            limit_nano_usd=20_000_000_000,
            actor="bench",
            reason="a limit that is reached",
        )
        for number, (tenant, level, subject) in enumerate(limits)
    ]
