"""The fold of a tenant slot: usage, adjustments, budgets and routing of one partition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from events.alert_raised import AlertRaised
from events.bounds import Bounds
from events.budget_changed import BudgetChanged
from events.catalogue import TOPIC_OF_EVENT, TOPICS
from events.dead_letters import Refused
from events.envelope import Event
from events.errors import InvalidEventError
from events.publisher import Encoded
from events.routing_decided import RoutingDecided
from events.spend_adjusted import SpendAdjusted
from processors.batching import RecordBatch
from processors.budget.decide import alerts, days_read
from processors.budget.headroom import Headroom
from processors.dedupe import Horizon, Seen
from processors.fold import NotYetError, Opening, Step
from processors.recorded import Past
from processors.states import Decoder, States
from processors.usage.observe import Source, observed
from processors.usage.runs import Runs
from processors.usage.soundness import Deployment, Soundness
from processors.usage.tally import tally
from projections.live import budget as budget_model
from projections.live.budget import Budgets
from projections.live.raised import Raised
from projections.live.routing import Routing
from projections.live.slots import TENANT_LEAD, TOPICS_OF_LEAD, Slot
from projections.live.spend import (
    Charges,
    Group,
    SpendDay,
    charge,
    days_in,
    parse_spend_id,
    post_adjustment,
    spend_id,
    touched,
)
from projections.live.store import LiveStore

DECODERS: dict[str, Decoder] = {
    "spend": SpendDay.from_json,
    "budgets": Budgets.from_json,
    "raised": Raised.from_json,
    "routing": Routing.from_json,
    "horizon": Horizon.from_json,
}

CHARGING = frozenset({"usage", "adjustments"})
"""Topics whose events change what was spent."""


class TenantFold:
    """Posts usage to spend, derives outcomes, and raises the alerts that follow."""

    topics: tuple[str, ...] = TOPICS_OF_LEAD[TENANT_LEAD]
    _states: States

    def __init__(self, slot: Slot, past: Past, store: LiveStore) -> None:
        self._codec = past.codec
        self._past = past
        self._bounds = Bounds(past.settings, slot.partition)
        self._soundness = Soundness(self._bounds)
        self._store = store
        self._headroom = Headroom()
        self._seen: dict[str, Seen] = {}
        self._observed_below: dict[Deployment, int] = {}
        self._decided_to: Mapping[str, int] = {}
        self._folded: dict[str, int] = {}
        self._replayed_at: dict[str, int] = {}
        self._clock_us = 0

    async def open(self, opening: Opening) -> None:
        """Read back the duplicate horizons and what was derived before."""
        self._states = States(opening.lease, self._store, DECODERS)
        self._clock_us = opening.lease.clock_us
        self._decided_to = opening.decided_to
        self._folded = dict(opening.next_offsets)
        self._replayed_at = {topic: opening.decided_to.get(topic, 0) for topic in CHARGING}
        self._replayed_at["budgets"] = opening.ends["budgets"]
        await self._states.load(f"horizon:{topic}" for topic in self.topics)
        for topic in self.topics:
            horizon = self._states.get(f"horizon:{topic}", Horizon) or Horizon()
            end = opening.next_offsets[topic]
            self._seen[topic] = await self._past.seen(topic, horizon, end)
        hints = opening.lease.derived
        self._observed_below = await self._past.outcomes_below("usage", hints)
        await self._remember_alerts(await self._past.alerts(hints))

    def take_writes(self) -> dict[str, bytes | None]:
        """See Fold."""
        return self._states.take_writes()

    @property
    def overruled(self) -> tuple[str, ...]:
        """None: what is derived here are facts, and alerts that have one id whoever raises them."""
        return ()

    async def apply(self, topic: str, batch: RecordBatch) -> Step:
        """Fold a batch of one topic.

        What is charged and may raise alerts waits for the budgets that were there when the slot was opened, and for all
        charges that were decided upon before: in a replay they are read beside it.
        """
        if topic in CHARGING and batch.start >= self._decided_to.get(topic, 0) and self._is_replaying(topic):
            raise NotYetError(topic)
        if topic == "usage":
            step = await self._usage(batch)
        else:
            step = await self._single(topic, batch)
        self._folded[topic] = batch.end if step.end is None else step.end
        horizon = self._seen[topic].horizon
        self._states.put(f"horizon:{topic}", horizon)
        self._clock_us = max(self._clock_us, horizon.clock_ms * 1000)
        return replace(step, clock_us=self._clock_us, writes=self._states.take_writes())

    def _is_replaying(self, topic: str) -> bool:
        """Whether others than this topic are still behind where they were when all was lost."""
        return any(self._folded[other] < end for other, end in self._replayed_at.items() if other != topic)

    async def _usage(self, batch: RecordBatch) -> Step:
        seen = self._seen["usage"]
        runs = Runs(self._bounds.settings.max_event_bytes * 7 // 8, batch.start, self._observed_below)
        tallied = tally(batch.records, self._codec, self._soundness, seen, runs)
        batch = batch.first(tallied.records)
        clock_us = max(self._clock_us, seen.horizon.clock_ms * 1000)
        raised = await self._charged("usage", tallied.sums, batch.end, clock_us)
        source = Source("usage", batch.partition, batch.start, batch.end)
        derived: list[Encoded] = [
            self._encoded(event, clock_us)
            for event in observed(runs.by_deployment, source, self._observed_below, clock_us)
        ]
        derived += raised
        self._observed_below = {
            deployment: below for deployment, below in self._observed_below.items() if below > batch.end
        }
        return Step(clock_us, {}, derived, tallied.refused, tallied.duplicates, batch.end)

    async def _charged(
        self, topic: str, sums: Mapping[Group, Sequence[int]], end: int, clock_us: int
    ) -> list[Encoded]:
        """Post what the records of a topic up to `end` come to; the alerts that follow."""
        charges = charge(sums)
        tenants = list(dict.fromkeys(payer.tenant for payer, _ in sums))
        await self._states.load(f"{kind}:{tenant}" for tenant in tenants for kind in ("budgets", "raised"))
        await self._post(charges)
        raised: list[Encoded] = []
        if end > self._decided_to.get(topic, 0):
            days = days_in(sums)
            for tenant in tenants:
                budgets = self._states.get(f"budgets:{tenant}", Budgets)
                if budgets is not None:
                    nodes = touched(charges, tenant, (each.node for each in budgets.budgets.values()), days)
                    near = self._headroom.near(budgets, nodes, charges)
                    raised += await self._alerts(near, nodes, clock_us)
        return raised

    async def _post(self, charges: Charges) -> None:
        """Add what was charged to the nodes' days."""
        by_key = {f"spend:{spend}": (spend, quarters) for spend, quarters in charges.items()}
        await self._states.load(by_key)
        for key, (spend, quarters) in by_key.items():
            day = self._states.get(key, SpendDay) or SpendDay(parse_spend_id(spend)[2])
            self._states.put(key, day.plus(quarters))

    async def _single(self, topic: str, batch: RecordBatch) -> Step:
        """Topics with little traffic, one event after the other."""
        seen = self._seen[topic]
        refused: list[Refused] = []
        derived: list[Encoded] = []
        adjusted: dict[Group, list[int]] = {}
        duplicates = 0
        for record in batch.records:
            seen.tick(record.timestamp, record.offset)
            try:
                event = self._bounds.event(TOPICS[topic], record, self._codec)
            except InvalidEventError as error:
                refused.append(Refused(record, error))
                continue
            if not seen.add(event.event_id):
                duplicates += 1
                continue
            match event:
                case BudgetChanged():
                    derived += await self._budget(event, record.offset)
                case RoutingDecided():
                    await self._routing(event)
                case SpendAdjusted():
                    post_adjustment(adjusted, event)
                case _:
                    raise AssertionError(f"{topic} holds {type(event).__name__}")
        if adjusted:
            clock_us = max(self._clock_us, seen.horizon.clock_ms * 1000)
            derived += await self._charged(topic, adjusted, batch.end, clock_us)
        return Step(0, {}, derived, refused, duplicates)

    async def _budget(self, event: BudgetChanged, offset: int) -> list[Encoded]:
        key = f"budgets:{event.tenant}"
        await self._states.load([key, f"raised:{event.tenant}"])
        before = self._states.get(key, Budgets) or Budgets(event.tenant)
        after = budget_model.evolve(before, event)
        self._states.put(key, after)
        if offset < self._decided_to.get("budgets", 0):
            return []
        clock_us = max(self._clock_us, self._seen["budgets"].horizon.clock_ms * 1000)
        changed = [event.budget_id] if event.budget_id in after.budgets else []
        return await self._alerts(after, {}, clock_us, changed)

    async def _routing(self, event: RoutingDecided) -> None:
        key = f"routing:{event.tenant}"
        await self._states.load([key])
        self._states.put(key, (self._states.get(key, Routing) or Routing(event.tenant)).plus(event))

    async def _alerts(
        self, budgets: Budgets, nodes: dict[str, set[int]], clock_us: int, changed: Collection[str] = ()
    ) -> list[Encoded]:
        if not budgets.budgets:
            return []
        tenant = budgets.tenant
        days = days_read(budgets, nodes, clock_us=clock_us, changed=changed)
        await self._states.load(f"spend:{spend_id(tenant, node, day)}" for node, day in days)
        raised = self._states.get(f"raised:{tenant}", Raised) or Raised(tenant)

        def spend_of(node: str, day: int) -> SpendDay | None:
            return self._states.get(f"spend:{spend_id(tenant, node, day)}", SpendDay)

        found = alerts(budgets, spend_of, nodes, raised, clock_us=clock_us, changed=changed)
        if nodes:
            self._headroom.measure(budgets, nodes, spend_of)
        if found:
            self._states.put(f"raised:{tenant}", raised.plus(found))
        return [self._encoded(alert, clock_us) for alert in found]

    async def _remember_alerts(self, events: Iterable[AlertRaised]) -> None:
        by_tenant: dict[str, list[AlertRaised]] = {}
        for event in events:
            by_tenant.setdefault(event.tenant, []).append(event)
        await self._states.load(f"raised:{tenant}" for tenant in by_tenant)
        for tenant, found in by_tenant.items():
            raised = self._states.get(f"raised:{tenant}", Raised) or Raised(tenant)
            self._states.put(f"raised:{tenant}", raised.plus(found))

    def _encoded(self, event: Event, clock_us: int) -> Encoded:
        topic = TOPIC_OF_EVENT[type(event)]
        return Encoded(topic.name, topic.key_of(event).encode(), self._codec.encode(event), clock_us // 1000)
