"""Slots: one partition of a group of co-partitioned topics is one hash slot of Redis, named by its lead topic."""

from __future__ import annotations

from dataclasses import dataclass

from events.partitioner import partition_of
from events.positions import InvalidPositionError, Partition
from projections.live.node import unescape

TENANT_LEAD = "usage"
PROVIDER_LEAD = "health"

TOPICS_OF_LEAD: dict[str, tuple[str, ...]] = {
    TENANT_LEAD: ("usage", "adjustments", "budgets", "routing"),
    PROVIDER_LEAD: ("outcomes", "health", "overrides", "providers"),
}
"""Topics that a slot folds; the same partition number of each."""

_LEAD_OF_TOPIC = {topic: lead for lead, topics in TOPICS_OF_LEAD.items() for topic in topics}

FOLDED_TOPICS = frozenset(_LEAD_OF_TOPIC)
"""Topics that are folded; the others hold what the folds derive, and what was done."""

_LEAD_OF_KIND = {
    "breaker": PROVIDER_LEAD,
    "window": PROVIDER_LEAD,
    "health": PROVIDER_LEAD,
    "check": PROVIDER_LEAD,
    "provider": PROVIDER_LEAD,
    "override": PROVIDER_LEAD,
    "spend": TENANT_LEAD,
    "budgets": TENANT_LEAD,
    "raised": TENANT_LEAD,
    "routing": TENANT_LEAD,
}

INDEXED_KINDS = frozenset({"breaker", "health", "check", "provider", "override", "budgets"})
"""Kinds whose ids are listed in the store, so that all of a kind can be read without scanning."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One partition number of one group of topics; written `usage.3`."""

    lead: str
    partition: int

    def __str__(self) -> str:
        return f"{self.lead}.{self.partition}"

    @classmethod
    def parse(cls, text: str) -> Slot:
        """The slot written as `lead.partition`; ValueError when it is none."""
        lead, dot, partition = text.rpartition(".")
        if not dot or lead not in TOPICS_OF_LEAD or not partition.isdecimal():
            raise ValueError(f"{text!r} is no slot: write lead.partition, for example usage.3")
        return cls(lead, int(partition))

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of the log that are folded into this slot."""
        return tuple(Partition(topic, self.partition) for topic in TOPICS_OF_LEAD[self.lead])


def slot_of_partition(partition: Partition) -> Slot:
    """The slot that a partition of the log is folded into."""
    lead = _LEAD_OF_TOPIC.get(partition.topic)
    if lead is None:
        raise InvalidPositionError(f"{partition}: no projection folds the topic {partition.topic!r}")
    return Slot(lead, partition.number)


def slots_of_kind(kind: str, partitions: int) -> tuple[Slot, ...]:
    """All slots that hold states of the kind."""
    return tuple(Slot(_LEAD_OF_KIND[kind], number) for number in range(partitions))


def slot_of(kind: str, state_id: str, partitions: int) -> Slot:
    """The slot that one state lives in: the partition of its provider or tenant, as the producers choose it."""
    return Slot(_LEAD_OF_KIND[kind], partition_of(_record_key(kind, state_id).encode(), partitions))


def _record_key(kind: str, state_id: str) -> str:
    if _LEAD_OF_KIND[kind] == PROVIDER_LEAD:
        return state_id.partition("/")[0]
    return unescape(state_id.partition("|")[0]) if kind == "spend" else state_id
