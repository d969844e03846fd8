"""The event types: which class, schema folder and topic belong together. The one place that lists them all."""

from __future__ import annotations

from dataclasses import dataclass

from events.action_audited import ActionAudited
from events.alert_raised import AlertRaised
from events.breaker_overridden import BreakerOverridden
from events.breaker_transitioned import BreakerTransitioned
from events.budget_changed import BudgetChanged
from events.dead_lettered import DeadLettered
from events.envelope import Event
from events.errors import UnknownTopicError
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import ProviderChanged
from events.provider_health_checked import ProviderHealthChecked
from events.routing_decided import RoutingDecided
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded

DAY_MS = 86_400_000
FOREVER_MS = -1


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the log. `name` is the short name; the full one has the prefix of the settings before it.

    Topics of one `group` are co-partitioned: the same key lies in the same partition number of each.
    """

    name: str
    event: type[Event]
    folder: str
    key_field: str
    group: str
    retention_ms: int
    written_by: str

    def key_of(self, event: Event) -> str:
        """The record key of an event of this topic."""
        key = getattr(event, self.key_field)
        return str(key)


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(
            "health",
            ProviderHealthChecked,
            "provider_health_checked",
            key_field="provider",
            group="provider",
            retention_ms=90 * DAY_MS,
            written_by="probers, gateways",
        ),
        Topic(
            "usage",
            UsageRecorded,
            "usage_recorded",
            key_field="tenant",
            group="tenant",
            retention_ms=90 * DAY_MS,
            written_by="gateways, SDKs",
        ),
        Topic(
            "adjustments",
            SpendAdjusted,
            "spend_adjusted",
            key_field="tenant",
            group="tenant",
            retention_ms=90 * DAY_MS,
            written_by="operators: `interlock reprice`",
        ),
        Topic(
            "routing",
            RoutingDecided,
            "routing_decided",
            key_field="tenant",
            group="tenant",
            retention_ms=90 * DAY_MS,
            written_by="the router of a gateway",
        ),
        Topic(
            "outcomes",
            OutcomesObserved,
            "outcomes_observed",
            key_field="provider",
            group="provider",
            retention_ms=90 * DAY_MS,
            written_by="workers, from usage and health",
        ),
        Topic(
            "breakers",
            BreakerTransitioned,
            "breaker_transitioned",
            key_field="provider",
            group="provider",
            retention_ms=365 * DAY_MS,
            written_by="workers: the breaker decider",
        ),
        Topic(
            "overrides",
            BreakerOverridden,
            "breaker_overridden",
            key_field="provider",
            group="provider",
            retention_ms=FOREVER_MS,
            written_by="operators",
        ),
        Topic(
            "providers",
            ProviderChanged,
            "provider_changed",
            key_field="provider",
            group="provider",
            retention_ms=FOREVER_MS,
            written_by="operators",
        ),
        Topic(
            "budgets",
            BudgetChanged,
            "budget_changed",
            key_field="tenant",
            group="tenant",
            retention_ms=FOREVER_MS,
            written_by="operators",
        ),
        Topic(
            "alerts",
            AlertRaised,
            "alert_raised",
            key_field="tenant_or_provider",
            group="tenant",
            retention_ms=365 * DAY_MS,
            written_by="workers",
        ),
        Topic(
            "audit",
            ActionAudited,
            "action_audited",
            key_field="actor",
            group="actor",
            retention_ms=FOREVER_MS,
            written_by="whoever acts: retention, reprice",
        ),
        Topic(
            "dead-letters",
            DeadLettered,
            "dead_lettered",
            key_field="topic",
            group="letters",
            retention_ms=365 * DAY_MS,
            written_by="any consumer",
        ),
    )
}

TOPIC_OF_EVENT: dict[type[Event], Topic] = {topic.event: topic for topic in TOPICS.values()}
TOPIC_OF_TYPE: dict[str, Topic] = {topic.event.__name__: topic for topic in TOPICS.values()}


def topic_named(name: str) -> Topic:
    """The topic of that short name."""
    try:
        return TOPICS[name]
    except KeyError:
        raise UnknownTopicError(f"no topic {name!r}; there are {', '.join(TOPICS)}") from None
