"""Gateways: calls of providers that fail now and then, and why a request went where it went."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from events.envelope import OutcomeKind
from events.routing_decided import Candidate, RoutingDecided
from events.usage_recorded import UsageRecorded
from projections.live.breaker import Breaker, effective_epoch
from projections.live.slots import slot_of
from tests.simulation.cluster import Cluster
from tests.simulation.plan import DEPLOYMENTS, Deployment, Plan
from tests.simulation.sender import Sender
from tests.simulation.virtual_time import now_us

FAILURES = (
    OutcomeKind.SERVER_ERROR,
    OutcomeKind.TIMEOUT,
    OutcomeKind.CONNECT_ERROR,
    OutcomeKind.OVERLOADED,
    OutcomeKind.STREAM_CUT,
)
SELDOM = (
    OutcomeKind.BAD_REQUEST,
    OutcomeKind.CANCELLED,
    OutcomeKind.CONTEXT_LENGTH,
    OutcomeKind.UNAUTHORIZED,
    OutcomeKind.BILLING,
    OutcomeKind.RATE_LIMITED,
    OutcomeKind.OTHER,
)


@dataclass(frozen=True, slots=True)
class Outage:
    """While it lasts, a deployment fails with this likelihood, seconds from the beginning."""

    deployment: Deployment
    start_s: float
    end_s: float
    share: float
    kinds: tuple[OutcomeKind, ...]


class Gateways(Sender):
    """All of them; they see the breakers of the cluster."""

    def __init__(self, cluster: Cluster, plan: Plan, random: Random) -> None:
        super().__init__(plan, random)
        self._cluster = cluster
        self._outages = [self._outage() for _ in range(random.randint(0, 6))]

    def usage(self, tenant: str) -> UsageRecorded:
        """One call."""
        random = self._random
        deployment = random.choice(DEPLOYMENTS)
        provider, model, region = deployment
        outcome = self._outcome(deployment)
        return UsageRecorded(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=self._occurred_at(),
            tenant=tenant,
            request_id=str(random.getrandbits(40)),
            provider=provider,
            model=model,
            region=region,
            org=random.choice((None, "", "north")),
            team=random.choice((None, "search", "s;t=1")),
            user=random.choice((None, "ann", "bob")),
            api_key=random.choice((None, "k1")),
            outcome=outcome,
            error=None
            if outcome is OutcomeKind.SUCCESS
            else random.choice((None, f"e{random.randint(0, 9)}")),
            input_tokens=random.randint(0, 2000),
            output_tokens=random.randint(0, 500),
            latency_ms=random.choice((1, 50, 51, 400, 3000, 59_999, 60_001, 130_000)),
            retry_after_ms=random.choice((None, 0, 1500, 600_000))
            if outcome is OutcomeKind.RATE_LIMITED
            else None,
            cost_nano_usd=random.choice((None, 0, 1, 12_345, 10**9, 3 * 10**9)),
            breaker_epoch=self._epoch(deployment),
        )

    def routing(self, tenant: str) -> RoutingDecided:
        """Why one went where it went."""
        provider, model, region = self._random.choice((*DEPLOYMENTS, ("", "", None)))
        return RoutingDecided(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=self._occurred_at(),
            tenant=tenant,
            request_id=str(self._random.getrandbits(40)),
            provider=provider,
            model=model,
            region=region,
            strategy=self._random.choice(("priority", "cost")),
            candidates=(
                Candidate(deployment="local/llama@rack1", breaker_state="CLOSED", verdict="eligible"),
            ),
        )

    def _outcome(self, deployment: Deployment) -> OutcomeKind:
        at_s = asyncio.get_running_loop().time()
        for outage in self._outages:
            struck = outage.deployment == deployment and outage.start_s <= at_s < outage.end_s
            if struck and self._random.random() < outage.share:
                return self._random.choice(outage.kinds)
        return OutcomeKind.SUCCESS if self._random.random() < 0.9 else self._random.choice(SELDOM + FAILURES)

    def _outage(self) -> Outage:
        random, duration_s = self._random, self._plan.duration_s
        start_s = random.uniform(0.0, duration_s)
        kinds = random.choice((FAILURES, FAILURES[:1], (*SELDOM, *FAILURES)))
        end_s = start_s + random.uniform(0.1, 0.5) * duration_s
        return Outage(random.choice(DEPLOYMENTS), start_s, end_s, random.choice((0.4, 0.8, 1.0)), kinds)

    def _epoch(self, deployment: Deployment) -> int | None:
        """What the gateway's cache says, or what it said a while ago, or nothing."""
        provider, model, region = deployment
        name = f"{provider}/{model}" + (f"@{region}" if region else "")
        slot = slot_of("breaker", name, self._cluster.settings.partitions)
        raw = self._cluster.redis.command(("GET", self._cluster.keyspace.prefix(slot) + f"breaker:{name}"))
        epoch = 0 if raw is None else effective_epoch(Breaker.from_json(raw), now_us())
        return self._random.choice((epoch, epoch, epoch, epoch, max(0, epoch - 1), None))
