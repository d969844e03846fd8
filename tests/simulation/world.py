"""Who appends to the log: gateways, probers and operators, all from one seed, some of them broken."""

from __future__ import annotations

import asyncio
from random import Random

from events.catalogue import TOPIC_OF_EVENT, TOPICS
from events.envelope import Event
from events.partitioner import partition_of
from events.reader import LogRecord
from events.usage_recorded import UsageRecorded
from tests.simulation.broken import broken
from tests.simulation.cluster import Cluster
from tests.simulation.gateways import Gateways
from tests.simulation.log import changed, record_of
from tests.simulation.operators import Operators
from tests.simulation.plan import DEPLOYMENTS, TENANTS, Plan
from tests.simulation.virtual_time import now_us


class World:
    """Appends what a plan says. What is on the log afterwards is all that the properties look at."""

    def __init__(self, cluster: Cluster, plan: Plan, random: Random) -> None:
        self._cluster = cluster
        self._log = cluster.log
        self._plan = plan
        self._random = random
        self._recent: list[tuple[str, int, LogRecord]] = []
        self._used: list[UsageRecorded] = []
        self._gateways = Gateways(cluster, plan, random)
        self._operators = Operators(plan, random)

    def settle(self) -> None:
        """The settings that are there before traffic begins: budgets of every kind of period, some policies."""
        for tenant in TENANTS:
            for number in range(self._random.randint(0, 2)):
                self._append(self._operators.budget(tenant, f"steady-{number}"))
        for provider in {provider: None for provider, _, _ in DEPLOYMENTS}:
            if self._random.random() < 0.5:
                self._append(self._operators.provider(provider))

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
            self._append(self._gateways.usage(tenant))
            self._append(self._operators.budget(tenant, "closing"))
            self._append(self._gateways.routing(tenant))
        for deployment in DEPLOYMENTS:
            self._append(self._operators.check(deployment))
            self._append(self._operators.override(deployment))
            self._append(self._operators.provider(deployment[0]))

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
            self._append(self._gateways.usage(self._random.choice(TENANTS)))

    def _operate(self) -> None:
        deployment = self._random.choice(DEPLOYMENTS)
        tenant = self._random.choice(TENANTS)
        events: tuple[Event, ...] = (
            self._operators.check(deployment),
            self._operators.check(deployment),
            self._operators.check(deployment),
            self._gateways.routing(tenant),
            self._operators.override(deployment),
            self._operators.provider(deployment[0]),
            self._operators.budget(tenant, f"changing-{self._random.randint(0, 1)}"),
        )
        self._append(self._random.choice(events))

    def _adjust(self) -> None:
        if self._used:
            call = self._random.choice(self._used)
            self._append(self._operators.adjustment(call))

    def _any(self, topic: str) -> Event:
        deployment, tenant = self._random.choice(DEPLOYMENTS), self._random.choice(TENANTS)
        match topic:
            case "health":
                return self._operators.check(deployment)
            case "budgets":
                return self._operators.budget(tenant, "broken")
            case "overrides":
                return self._operators.override(deployment)
            case _:
                return self._gateways.usage(tenant)

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


assert {"usage", "health", "budgets", "overrides", "outcomes"} <= set(TOPICS)
