"""One worker on real servers: what it makes of each kind of event, held beside naive folds of the same log."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from events.alert_raised import AlertKind
from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import OutcomeKind
from events.money import format_usd
from events.positions import vector_of
from events.provider_changed import BreakerPolicy
from events.provider_health_checked import HealthStatus
from projections.live.breaker import Breaker, effective_epoch, effective_state
from projections.live.consistency import Consistency, Waits
from projections.live.gates import credential_gate_since_us, rate_gate_until_us
from projections.live.slots import slot_of
from tests.integration.live_server import eventually, live_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import (
    Traffic,
    budget,
    changed,
    checked,
    failed,
    now_us,
    overridden,
    routed,
    usage,
)


@pytest.fixture(scope="module")
async def rig(log_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A log and a live store with one worker at work."""
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings_of_worker(log_address), server.settings()) as rig,
        rig.worker(),
    ):
        yield rig


async def breaker_of(rig: Rig, deployment: str) -> Breaker:
    """The live breaker of a deployment."""
    slot = slot_of("breaker", deployment, rig.log.partitions)
    raw = (await rig.store.read(slot, [f"breaker:{deployment}"]))[f"breaker:{deployment}"]
    return Breaker.from_json(raw)


async def trip(rig: Rig, provider: str, model: str) -> Breaker:
    """Fail a deployment five times in a row; its breaker afterwards."""
    await rig.append(*(failed("trip", provider, model) for _ in range(5)))
    await rig.folded()
    return await breaker_of(rig, f"{provider}/{model}")


async def test_spend_is_exact_to_the_nano_dollar(rig: Rig) -> None:
    """Costs of any size, unpriced calls and negative corrections add up in every node they are charged to."""
    costs = [1, 999_999_999, 2**62, 0, -7, None, 123_456_789_012]
    await rig.append(*(usage("exact", cost_nano_usd=cost, user=f"u{cost}") for cost in costs))
    await rig.folded()
    spent = await rig.spent("exact")
    assert spent.cost_nano_usd == sum(cost or 0 for cost in costs)
    assert (spent.calls, spent.unpriced_calls) == (7, 1)
    assert (await rig.spent("exact", "user=u1")).cost_nano_usd == 1
    assert await rig.violations() == []


async def test_duplicate_usage_is_counted_once(rig: Rig) -> None:
    """A producer that sends again, in the same batch or later, changes nothing."""
    event = usage("twice", cost_nano_usd=10)
    await rig.append(event, event)
    await rig.folded()
    await rig.append(event, usage("twice", cost_nano_usd=1))
    await rig.folded()
    assert (await rig.spent("twice")).cost_nano_usd == 11
    assert await rig.violations() == []


async def test_failures_open_a_breaker_and_probes_close_it(rig: Rig) -> None:
    """CLOSED, OPEN with its cause, HALF_OPEN when the time is over, and CLOSED by the probes that its policy wants."""
    policy = BreakerPolicy(open_for_s=1, jitter=0.0, half_open_permits=2)
    await rig.append(changed("probed", policy))
    await rig.folded()
    opened = await trip(rig, "probed", "m")
    assert (opened.state, opened.cause) == (BreakerState.OPEN, TransitionCause.CONSECUTIVE_FAILURES)
    assert opened.reason == "5 failures in a row (limit 5)"

    async def is_over() -> bool:
        return effective_state(opened, now_us()) is BreakerState.HALF_OPEN

    await eventually(is_over)
    epoch = effective_epoch(opened, now_us())
    await rig.append(usage("trip", "probed", "m", breaker_epoch=epoch))
    await rig.folded()
    assert (await breaker_of(rig, "probed/m")).state is BreakerState.HALF_OPEN
    await rig.append(usage("trip", "probed", "m", breaker_epoch=epoch))
    await rig.folded()
    closed = await breaker_of(rig, "probed/m")
    assert (closed.state, closed.cause) == (BreakerState.CLOSED, TransitionCause.PROBES_SUCCEEDED)
    assert await rig.violations() == []


async def test_failed_probe_opens_a_breaker_for_longer(rig: Rig) -> None:
    """The second wait is twice the first."""
    await rig.append(changed("relapse", BreakerPolicy(open_for_s=1, jitter=0.0)))
    await rig.folded()
    opened = await trip(rig, "relapse", "m")

    async def is_over() -> bool:
        return effective_state(opened, now_us()) is BreakerState.HALF_OPEN

    await eventually(is_over)
    await rig.append(failed("trip", "relapse", "m", breaker_epoch=effective_epoch(opened, now_us())))
    await rig.folded()
    again = await breaker_of(rig, "relapse/m")
    assert (again.state, again.cause, again.trips) == (BreakerState.OPEN, TransitionCause.PROBE_FAILED, 2)
    assert again.open_until_us is not None
    assert again.open_until_us - again.since_us == 2_000_000
    assert await rig.violations() == []


async def test_what_is_not_the_providers_fault_opens_nothing(rig: Rig) -> None:
    """Bad requests, long contexts, filters and cancelled calls are not counted."""
    kinds = (
        OutcomeKind.BAD_REQUEST,
        OutcomeKind.CONTEXT_LENGTH,
        OutcomeKind.CONTENT_FILTER,
        OutcomeKind.CANCELLED,
    )
    await rig.append(*(usage("fault", "innocent", "m", outcome=kind) for kind in kinds * 5))
    await rig.folded()
    assert (await breaker_of(rig, "innocent/m")).state is BreakerState.CLOSED
    assert await rig.violations() == []


async def test_answers_429_and_401_set_gates_and_move_no_breaker(rig: Rig) -> None:
    """The rate gate lasts as long as asked; a refused credential raises one alert, however often it is refused."""
    at_us = now_us()
    await rig.append(
        usage(
            "gate", "gated", "rate", occurred_at=at_us, outcome=OutcomeKind.RATE_LIMITED, retry_after_ms=5_000
        ),
        *(usage("gate", "gated", "key", outcome=OutcomeKind.UNAUTHORIZED) for _ in range(3)),
    )
    await rig.folded()
    rate, key = await breaker_of(rig, "gated/rate"), await breaker_of(rig, "gated/key")
    assert (rate.state, key.state) == (BreakerState.CLOSED, BreakerState.CLOSED)
    assert rate_gate_until_us(rate) == at_us + 5_000_000
    assert credential_gate_since_us(key) is not None
    alerts = [alert for alert in await rig.events("alerts") if alert.subject == "gated/key"]
    assert [alert.kind for alert in alerts] == [AlertKind.CREDENTIAL_GATE]
    assert await rig.violations() == []


async def test_overrides_force_and_free_breakers(rig: Rig) -> None:
    """One deployment, or all of a provider, the ones seen later too; NONE gives them back."""
    await rig.append(usage("ops", "forced", "a"), usage("ops", "forced", "b"))
    await rig.folded()
    await rig.append(overridden("forced", "a", OverrideMode.DISABLED))
    await rig.folded()
    assert (await breaker_of(rig, "forced/a")).state is BreakerState.DISABLED
    assert (await breaker_of(rig, "forced/b")).state is BreakerState.CLOSED
    await rig.append(overridden("forced", None, OverrideMode.FORCED_OPEN))
    await rig.folded()
    await rig.append(usage("ops", "forced", "c"))
    await rig.folded()
    states = [(await breaker_of(rig, f"forced/{model}")).state for model in "abc"]
    assert states == [BreakerState.FORCED_OPEN] * 3
    await rig.append(overridden("forced", None, OverrideMode.NONE))
    await rig.folded()
    freed = [await breaker_of(rig, f"forced/{model}") for model in "abc"]
    assert [(one.state, one.cause) for one in freed] == [
        (BreakerState.CLOSED, TransitionCause.OVERRIDE_CLEARED)
    ] * 3
    assert await rig.violations() == []


async def test_a_policy_changes_when_a_breaker_opens(rig: Rig) -> None:
    """Two failures are enough once the provider's policy says so."""
    await rig.append(failed("policy", "strict", "m"), failed("policy", "strict", "m"))
    await rig.folded()
    assert (await breaker_of(rig, "strict/m")).state is BreakerState.CLOSED
    await rig.append(changed("strict", BreakerPolicy(consecutive_failures=3)))
    await rig.folded()
    await rig.append(failed("policy", "strict", "m"))
    await rig.folded()
    assert (await breaker_of(rig, "strict/m")).state is BreakerState.OPEN
    assert await rig.violations() == []


async def test_checks_are_folded_and_count_as_calls_of_their_deployment(rig: Rig) -> None:
    """A check of a provider tells its status; failing checks of a deployment open its breaker."""
    await rig.append(checked("watched", None), checked("watched", None, HealthStatus.DEGRADED))
    await rig.append(*(checked("watched", "m", HealthStatus.UNHEALTHY) for _ in range(5)))
    await rig.folded()
    check = await rig.state(slot_of("check", "watched", rig.log.partitions), "check:watched")
    assert check is not None
    assert (check["status"], check["verdicts"], check["up"]) == ("DEGRADED", 2, 2)
    assert (await breaker_of(rig, "watched/m")).state is BreakerState.OPEN
    assert await rig.violations() == []


async def test_budgets_raise_each_threshold_once(rig: Rig) -> None:
    """50, 80 and 100 percent, each when it is reached, and not again by more spending."""
    await rig.append(budget("thrifty", 100))
    await rig.folded()
    for cost in (49, 1, 31, 30, 500):
        await rig.append(usage("thrifty", cost_nano_usd=cost))
        await rig.folded()
    alerts = [alert for alert in await rig.events("alerts") if alert.tenant == "thrifty"]
    assert [(alert.threshold_percent, alert.value_nano_usd) for alert in alerts] == [
        (50, 50),
        (80, 81),
        (100, 111),
    ]
    assert alerts[0].title.endswith(f"of {format_usd(100)} USD spent")
    assert await rig.violations() == []


async def test_routing_decisions_are_counted(rig: Rig) -> None:
    """Per tenant and chosen deployment."""
    await rig.append(routed("router", "openai", "gpt-4o"), routed("router", "openai", "gpt-4o"))
    await rig.folded()
    assert await rig.state(slot_of("routing", "router", rig.log.partitions), "routing:router") is not None
    assert await rig.violations() == []


async def test_the_group_is_told_how_far_each_topic_is_folded(rig: Rig) -> None:
    """So lag tools see it: the committed offsets reach the log's ends."""
    await rig.append(*Traffic(rig).some(50))
    await rig.folded()
    ends = await rig.folded_ends()

    async def is_told() -> bool:
        return await rig.committed() == ends

    await eventually(is_told)
    assert any(ends.values())


async def test_a_strong_read_sees_the_breaker_that_was_just_tripped(rig: Rig) -> None:
    """Usage, the outcomes that follow from it, and the transition that follows from those: all are waited for."""
    waits = Waits(rig.store, rig.log.partitions, rig.ends.ends)
    for number in range(5):
        deployment = f"strong{number}/m"
        slot = slot_of("breaker", deployment, rig.log.partitions)
        await rig.append(*(failed("strong", f"strong{number}", "m") for _ in range(5)))
        await waits.reach(Consistency.STRONG, [slot])
        assert (await breaker_of(rig, deployment)).state is BreakerState.OPEN


async def test_a_session_reads_what_it_has_appended(rig: Rig) -> None:
    """The positions that an append answers are waited for, in the slot that was written to and in those after it."""
    waits = Waits(rig.store, rig.log.partitions, rig.ends.ends)
    for number in range(5):
        deployment = f"session{number}/m"
        slot = slot_of("breaker", deployment, rig.log.partitions)
        positions = await rig.append(*(failed("session", f"session{number}", "m") for _ in range(5)))
        await waits.reach(Consistency.SESSION, [slot], vector_of(positions))
        assert (await breaker_of(rig, deployment)).state is BreakerState.OPEN


async def test_what_is_appended_is_answered_soon(rig: Rig) -> None:
    """From an append to its live answer, both stages, well below a second where nothing else holds it up."""
    took_s = []
    for _ in range(10):
        started_s = time.monotonic()
        await rig.append(usage("soon"))
        await rig.folded()
        took_s.append(time.monotonic() - started_s)
    assert min(took_s) < 0.5
