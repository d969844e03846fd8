"""The live state as a reader finds it in Redis at the end, in the terms of the naive fold. Waits until all is folded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from demo.errors import BrokenRunError
from demo.naive import QUARTER_HOUR_US, SpendKey, Sums
from projections.live.breaker import Breaker
from projections.live.budget import Budgets, BudgetStatus, status
from projections.live.health import DeploymentHealth
from projections.live.period import QUARTER_US
from projections.live.routing import Routing
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD, Slot
from projections.live.spend import QUARTERS_PER_DAY, SpendDay, parse_spend_id, spend_id
from projections.live.store import LiveStore

POLL_S = 0.05
assert QUARTER_HOUR_US == QUARTER_US


@dataclass(slots=True)
class LiveState:
    """Spend by tenant, node and quarter hour; outcomes by deployment and kind; breakers as dicts of their fields;
    decisions by tenant and deployment; how each budget stands.
    """

    spend: dict[SpendKey, Sums] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)
    breakers: dict[str, dict[str, Any]] = field(default_factory=dict)
    routed: dict[tuple[str, str], int] = field(default_factory=dict)
    budgets: list[tuple[str, BudgetStatus]] = field(default_factory=list)


def all_slots(partitions: int) -> tuple[Slot, ...]:
    """Every slot of the live store."""
    return tuple(Slot(lead, number) for lead in (TENANT_LEAD, PROVIDER_LEAD) for number in range(partitions))


async def published(store: LiveStore, slots: Sequence[Slot], within_s: float) -> None:
    """Return once every slot's derived events are on the log."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                checkpoints = await store.checkpoints(slots)
                if all(held.published_seq == held.outbox_seq for held in checkpoints.values()):
                    return
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise BrokenRunError(f"derived events were not published within {within_s:g} s") from None


async def read_live(store: LiveStore, partitions: int, at_us: int) -> LiveState:
    """All states that there are, found by walking the keyspace: nothing that should not be there stays unseen."""
    state = LiveState()
    budgets: list[Budgets] = []
    days: dict[str, SpendDay] = {}
    for slot in all_slots(partitions):
        prefix = store.keyspace.prefix(slot)
        keys = [key.removeprefix(prefix) for key in await store.connection.keys_with_prefix(prefix)]
        kept = [key for key in keys if key.partition(":")[0] in _READ]
        for key, data in (await store.read(slot, kept)).items():
            kind, _, state_id = key.partition(":")
            if kind == "spend":
                days[state_id] = SpendDay.from_json(data)
            elif kind == "budgets":
                budgets.append(Budgets.from_json(data))
            else:
                _READ[kind](state, data)
    _take_spend(state, days)
    for held in budgets:
        state.budgets += _standing(held, days, at_us)
    return state


def _take_spend(state: LiveState, days: dict[str, SpendDay]) -> None:
    for state_id, spend in days.items():
        tenant, node, day = parse_spend_id(state_id)
        for quarter, *sums in spend.rows:
            state.spend[tenant, node, day * QUARTERS_PER_DAY + quarter] = (
                sums[0],
                sums[1],
                sums[2],
                sums[3],
                sums[4],
            )


def _standing(held: Budgets, days: dict[str, SpendDay], at_us: int) -> list[tuple[str, BudgetStatus]]:
    def spend_of(node: str, day: int) -> SpendDay | None:
        return days.get(spend_id(held.tenant, node, day))

    return [(held.tenant, status(budget, at_us, spend_of)) for budget in held.budgets.values()]


def _take_health(state: LiveState, data: bytes) -> None:
    health = DeploymentHealth.from_json(data)
    for kind, count in health.totals.items():
        state.outcomes[health.deployment, kind] = count


def _take_breaker(state: LiveState, data: bytes) -> None:
    breaker = Breaker.from_json(data)
    state.breakers[breaker.deployment] = {
        "version": breaker.version,
        "state": breaker.state.value,
        "epoch": breaker.epoch,
        "trips": breaker.trips,
        "since_us": breaker.since_us,
        "open_until_us": breaker.open_until_us,
        "cause": breaker.cause.value if breaker.cause else None,
        "reason": breaker.reason,
        "calls": breaker.calls,
        "failures": breaker.failures,
        "slow_calls": breaker.slow_calls,
        "consecutive_failures": breaker.consecutive_failures,
        "policy_version": breaker.policy_version,
    }


def _take_routing(state: LiveState, data: bytes) -> None:
    routing = Routing.from_json(data)
    for deployment, count in routing.by_deployment.items():
        state.routed[routing.tenant, deployment] = count
    if routing.unroutable:
        state.routed[routing.tenant, ""] = routing.unroutable


def _skip(state: LiveState, data: bytes) -> None:
    """Read with the spend, all at once."""


_READ = {
    "spend": _skip,
    "budgets": _skip,
    "health": _take_health,
    "breaker": _take_breaker,
    "routing": _take_routing,
}
