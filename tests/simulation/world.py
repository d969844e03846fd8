"""Who appends to the log: gateways, probers and operators, all from one seed, some of them broken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from events.breaker_overridden import BreakerOverridden, OverrideMode
from events.budget_changed import BudgetChange, BudgetChanged, BudgetLevel, BudgetPeriod
from events.catalogue import TOPIC_OF_EVENT, TOPICS
from events.envelope import Event, OutcomeKind
from events.ids import uuid7
from events.partitioner import partition_of
from events.provider_changed import BreakerPolicy, ProviderChange, ProviderChanged, WindowKind
from events.provider_health_checked import HealthStatus, ProviderHealthChecked
from events.reader import LogRecord
from events.routing_decided import Candidate, RoutingDecided
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from projections.live.breaker import Breaker, effective_epoch
from projections.live.slots import slot_of
from tests.simulation.broken import broken
from tests.simulation.cluster import Cluster
from tests.simulation.log import changed, record_of
from tests.simulation.virtual_time import now_us

TENANTS = ("acme", "globex", "initech", "a|b;c=d%", "hooli")
DEPLOYMENTS = (
    ("openai", "gpt-4o", None),
    ("openai", "gpt-4o-mini", "eu"),
    ("vertex", "gemini-1.5-pro", None),
    ("local", "llama", "rack1"),
    ("local", "llama", "rack2"),
)
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
class Plan:
    """How much happens, and how much of it is odd."""

    duration_s: float
    usage: int
    bad: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    operators: float = 0.0
    """Share of the usage's number that operators' changes and checks come to."""
    adjusted: float = 0.0
    """Share of the usage's number that adjustments come to; none of them gives money back."""

    @classmethod
    def drawn(cls, random: Random) -> Plan:
        """A plan of some seed."""
        return cls(
            duration_s=random.choice((20.0, 60.0, 120.0, 300.0, 900.0)),
            usage=random.choice((60, 200, 400)),
            bad=random.choice((0.0, 0.03, 0.15)),
            duplicates=random.choice((0.0, 0.05, 0.3)),
            late=random.choice((0.0, 0.05, 0.3)),
            operators=random.choice((0.02, 0.1, 0.3)),
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """While it lasts, a deployment fails with this likelihood, seconds from the beginning."""

    deployment: tuple[str, str, str | None]
    start_s: float
    end_s: float
    share: float
    kinds: tuple[OutcomeKind, ...]


class World:
    """Appends what a plan says. What is on the log afterwards is all that the properties look at."""

    def __init__(self, cluster: Cluster, plan: Plan, random: Random) -> None:
        self._cluster = cluster
        self._log = cluster.log
        self._plan = plan
        self._random = random
        self._versions: dict[str, int] = {}
        self._recent: list[tuple[str, int, LogRecord]] = []
        self._used: list[UsageRecorded] = []
        self._outages = [self._outage() for _ in range(random.randint(0, 6))]

    def settle(self) -> None:
        """The settings that are there before traffic begins: budgets of every kind of period, some policies."""
        for tenant in TENANTS:
            for number in range(self._random.randint(0, 2)):
                self._append(self._budget(tenant, f"steady-{number}"))
        for provider in {provider: None for provider, _, _ in DEPLOYMENTS}:
            if self._random.random() < 0.5:
                self._append(self._provider(provider))

    async def live(self) -> None:
        """Everything that happens, spread over the plan's duration."""
        random, plan = self._random, self._plan
        acts = [self._use] * plan.usage + [self._operate] * round(plan.usage * plan.operators)
        acts += [self._adjust] * round(plan.usage * plan.adjusted)
        random.shuffle(acts)
        mean_s = plan.duration_s / len(acts)
        while acts:
            burst = random.choice((1, 1, 1, 3, 10, 40))
            for act in acts[:burst]:
                act()
            count = min(burst, len(acts))
            del acts[:count]
            await asyncio.sleep(random.expovariate(1.0) * mean_s * count)

    def tick(self) -> None:
        """One more of everything, everywhere: after it a worker that lost its state knows."""
        for tenant in TENANTS:
            self._append(self._usage(tenant))
            self._append(self._budget(tenant, "closing"))
            self._append(self._routing(tenant))
        for deployment in DEPLOYMENTS:
            self._append(self._check(deployment))
            self._append(self._override(deployment))
            self._append(self._provider(deployment[0]))

    def _use(self) -> None:
        draw = self._random.random()
        if draw < self._plan.bad:
            topic = self._random.choice(
                ("usage", "usage", "usage", "health", "budgets", "overrides", "outcomes")
            )
            event = self._any(topic)
            good = self._record(event)
            partition, record = broken(event, good, self._cluster.settings, self._cluster.codec, self._random)
            self._log.append(topic, partition, record)
        elif self._recent and draw < self._plan.bad + self._plan.duplicates:
            topic, partition, record = self._random.choice(self._recent[-200:])
            self._log.append(topic, partition, changed(record, timestamp=self._timestamp_ms()))
        else:
            self._append(self._usage(self._random.choice(TENANTS)))

    def _operate(self) -> None:
        deployment = self._random.choice(DEPLOYMENTS)
        tenant = self._random.choice(TENANTS)
        events: tuple[Event, ...] = (
            self._check(deployment),
            self._check(deployment),
            self._check(deployment),
            self._routing(tenant),
            self._override(deployment),
            self._provider(deployment[0]),
            self._budget(tenant, f"changing-{self._random.randint(0, 1)}"),
        )
        self._append(self._random.choice(events))

    def _adjust(self) -> None:
        if self._used:
            call = self._random.choice(self._used)
            before = self._random.choice((call.cost_nano_usd, None))
            self._append(self._adjustment(call, before, (before or 0) + self._random.choice((0, 1, 10**9))))

    def _adjustment(self, call: UsageRecorded, before: int | None, after: int) -> SpendAdjusted:
        return SpendAdjusted(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant=call.tenant,
            usage_id=call.event_id,
            usage_occurred_at=call.occurred_at,
            provider=call.provider,
            model=call.model,
            region=call.region,
            org=call.org,
            team=call.team,
            user=call.user,
            api_key=call.api_key,
            outcome=call.outcome,
            cost_before_nano_usd=before,
            cost_after_nano_usd=after,
            price_version="other",
            actor="ops",
        )

    def _any(self, topic: str) -> Event:
        deployment, tenant = self._random.choice(DEPLOYMENTS), self._random.choice(TENANTS)
        match topic:
            case "health":
                return self._check(deployment)
            case "budgets":
                return self._budget(tenant, "broken")
            case "overrides":
                return self._override(deployment)
            case _:
                return self._usage(tenant)

    def _append(self, event: Event) -> None:
        record = self._record(event)
        assert record.key is not None
        topic = TOPIC_OF_EVENT[type(event)].name
        partition = partition_of(record.key, self._cluster.settings.partitions)
        self._log.append(topic, partition, record)
        self._recent.append((topic, partition, record))
        if isinstance(event, UsageRecorded):
            self._used.append(event)

    def _record(self, event: Event) -> LogRecord:
        key = TOPIC_OF_EVENT[type(event)].key_of(event).encode()
        headers = [("traceparent", b"00-1")] if self._random.random() < 0.1 else []
        return record_of(key, self._cluster.codec.encode(event), self._timestamp_ms(), headers)

    def _timestamp_ms(self) -> int:
        """Producers' clocks differ a little, so timestamps do not always rise."""
        return now_us() // 1000 - self._random.choice((0, 0, 0, 1, 30, 900))

    def _head(self) -> dict[str, object]:
        now = now_us()
        return {"event_id": uuid7(now, self._random.randbytes(10)), "source": "world"}

    def _occurred_at(self) -> int:
        now = now_us()
        if self._random.random() < self._plan.late:
            return now - round(
                self._random.choice((10, 400, 5000, 100_000, 3_000_000)) * 1e6 * self._random.random()
            )
        return now + self._random.choice((0, -200_000, -2_000_000, 500_000))

    def _usage(self, tenant: str) -> UsageRecorded:
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

    def _outcome(self, deployment: tuple[str, str, str | None]) -> OutcomeKind:
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

    def _epoch(self, deployment: tuple[str, str, str | None]) -> int | None:
        """What the gateway's cache says, or what it said a while ago, or nothing."""
        provider, model, region = deployment
        name = f"{provider}/{model}" + (f"@{region}" if region else "")
        slot = slot_of("breaker", name, self._cluster.settings.partitions)
        raw = self._cluster.redis.command(("GET", self._cluster.keyspace.prefix(slot) + f"breaker:{name}"))
        epoch = 0 if raw is None else effective_epoch(Breaker.from_json(raw), now_us())
        return self._random.choice((epoch, epoch, epoch, epoch, max(0, epoch - 1), None))

    def _check(self, deployment: tuple[str, str, str | None]) -> ProviderHealthChecked:
        provider, model, region = deployment
        whole = self._random.random() < 0.3
        return ProviderHealthChecked(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=self._occurred_at(),
            tenant="",
            provider=provider,
            model=None if whole else model,
            region=None if whole else region,
            status=self._random.choice(list(HealthStatus)),
            latency_ms=self._random.choice((None, 0.5, 120.25, 70_000.0)),
            status_code=self._random.choice((None, 200, 503)),
            error=self._random.choice((None, "down")),
        )

    def _routing(self, tenant: str) -> RoutingDecided:
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

    def _override(self, deployment: tuple[str, str, str | None]) -> BreakerOverridden:
        provider, model, region = deployment
        whole = self._random.random() < 0.4
        lasts_us = self._random.choice((None, 5_000_000, 60_000_000, -1))
        return BreakerOverridden(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant="",
            provider=provider,
            model=None if whole else model,
            region=None if whole else region,
            mode=self._random.choice([*OverrideMode, OverrideMode.NONE, OverrideMode.NONE]),
            actor=self._random.choice(("ann", "bob")),
            reason="drill",
            expires_at=None if lasts_us is None else now_us() + lasts_us,
        )

    def _provider(self, provider: str) -> ProviderChanged:
        random = self._random
        return ProviderChanged(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant="",
            provider=provider,
            change=ProviderChange.REMOVED if random.random() < 0.1 else ProviderChange.SET,
            version=self._version(provider),
            breaker_policy=random.choice((None, self._policy())),
            deployment_policies={f"{provider}/gpt-4o": self._policy()} if random.random() < 0.3 else {},
            actor="ann",
        )

    def _policy(self) -> BreakerPolicy:
        random = self._random
        return BreakerPolicy(
            window=random.choice(list(WindowKind)),
            window_s=random.choice((1, 5, 60, 300)),
            window_calls=random.choice((1, 5, 100)),
            minimum_calls=random.choice((1, 3, 10)),
            failure_rate=random.choice((0.1, 0.5, 0.7, 1.0)),
            consecutive_failures=random.choice((1, 2, 5, 1000)),
            slow_call_s=random.choice((1, 60)),
            slow_rate=random.choice((0.2, 0.9, 1.0)),
            open_for_s=random.choice((1, 5, 30)),
            open_for_cap_s=random.choice((10, 60, 300)),
            half_open_permits=random.choice((1, 3)),
            half_open_max_wait_s=random.choice((2, 60)),
        )

    def _version(self, name: str) -> int:
        """Mostly the next; sometimes one that was there before."""
        last = self._versions.get(name, 0)
        self._versions[name] = version = last + self._random.choice((1, 1, 1, 1, 2, 0)) or 1
        return version

    def _budget(self, tenant: str, budget_id: str) -> BudgetChanged:
        random = self._random
        period = random.choice(list(BudgetPeriod))
        level = random.choice((BudgetLevel.TENANT, BudgetLevel.TENANT, BudgetLevel.TEAM))
        provider = random.choice((None, "openai"))
        removed = budget_id.startswith("changing") and random.random() < 0.15
        return BudgetChanged(
            **self._head(),  # type: ignore[arg-type]
            occurred_at=now_us(),
            tenant=tenant,
            budget_id=budget_id,
            change=BudgetChange.REMOVED if removed else BudgetChange.SET,
            version=self._version(f"{tenant}/{budget_id}"),
            level=level,
            subject=None if level is BudgetLevel.TENANT else "search",
            provider=provider,
            model="gpt-4o" if provider and random.random() < 0.5 else None,
            period=period,
            rolling_hours=random.choice((1, 24)) if period is BudgetPeriod.ROLLING else None,
            zone=random.choice(("UTC", "Europe/Berlin", "Asia/Kathmandu")),
            limit_nano_usd=random.choice((0, 10**9, 20 * 10**9, 10**13)),
            soft_limits_percent=random.choice(((50, 80, 100), (1,), ())),
            rollover_cap_nano_usd=random.choice((0, 0, 5 * 10**9)),
            actor="ann",
        )


assert {"usage", "health", "budgets", "overrides", "outcomes"} <= set(TOPICS)
