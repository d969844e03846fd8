"""Where the service stands: how far each slot is, who owns it, and how far behind the log."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from api.resources.values import TimeOut, View
from api.rfc3339 import format_time_us
from events.positions import Partition
from projections.live.checkpoint import Checkpoint
from projections.live.slots import Slot


class SlotView(View):
    """One slot: a partition number of a group of co-partitioned topics. All offsets are the next to read."""

    slot: str = Field(examples=["usage.3"])
    owner: str | None = Field(description="Worker that took it last; null: none ever did.")
    epoch: int = Field(description="Rises whenever a worker takes the slot; older writers are refused.")
    positions: dict[str, int] = Field(
        description="Next offset by topic.", examples=[{"usage": 1042, "budgets": 7}]
    )
    lag: dict[str, int] | None = Field(
        description="Records not folded yet, by topic; null while the log is away."
    )
    unpublished: int = Field(
        description="Derived events that are committed and not yet known to be on the log."
    )
    clock: TimeOut | None = Field(description="The slot's fold clock.")


class SinkView(View):
    """A store that the log is written to, beside the live state. All offsets are the next to write."""

    sink: str = Field(examples=["history"])
    positions: dict[str, int] = Field(
        description="What is durable in the store, by partition.", examples=[{"usage-3": 1042}]
    )
    lag: int | None = Field(
        description="Records that are not durable there yet; null while the log is away or the sink has never run."
    )


class WorkerView(View):
    """A worker and the slots that it took."""

    worker: str
    slots: list[str]


class StatusView(View):
    """The whole. What cannot be told now is null, and `problems` says why."""

    version: str
    generation: int = Field(description="Generation of the live projections.")
    partitions: int = Field(description="Partitions of each topic.")
    lag: int | None = Field(description="Records not folded yet, of all partitions.")
    slots: list[SlotView]
    sinks: list[SinkView] = Field(description="Those that are configured.")
    workers: list[WorkerView]
    log_ends: dict[str, int] | None = Field(
        description="The next offset that the log gives, by partition.", examples=[{"usage-3": 1042}]
    )
    problems: list[str]


class CheckedDependency(View):
    """Whether one thing that the API needs answers."""

    name: str
    ok: bool
    detail: str
    took_ms: float


class Readiness(View):
    """Ready when all that the API needs answers."""

    status: str = Field(
        description="ready; degraded: the live store takes no writes, so what is read stands still; unready.",
        examples=["ready"],
    )
    checks: list[CheckedDependency]


class Liveness(View):
    """The process answers."""

    status: str = Field("alive", examples=["alive"])
    version: str


def slot_view(slot: Slot, checkpoint: Checkpoint, ends: Mapping[Partition, int] | None) -> SlotView:
    """The view of one slot."""
    positions = {
        partition.topic: checkpoint.next_offsets.get(partition.topic, 0) for partition in slot.partitions
    }
    lag = None
    if ends is not None:
        lag = {
            partition.topic: max(0, ends[partition] - positions[partition.topic])
            for partition in slot.partitions
            if partition in ends
        }
    return SlotView(
        slot=str(slot),
        owner=checkpoint.owner or None,
        epoch=checkpoint.epoch,
        positions=positions,
        lag=lag,
        unpublished=max(0, checkpoint.outbox_seq - checkpoint.published_seq),
        clock=format_time_us(checkpoint.clock_us) if checkpoint.clock_us else None,
    )


def sink_view(
    name: str, positions: Mapping[Partition, int], ends: Mapping[Partition, int] | None
) -> SinkView:
    """The view of one sink."""
    lag = None
    if ends is not None and positions:
        lag = sum(max(0, ends[partition] - offset) for partition, offset in positions.items())
    return SinkView(
        sink=name,
        positions={str(partition): offset for partition, offset in sorted(positions.items())},
        lag=lag,
    )


def workers_of(slots: list[SlotView]) -> list[WorkerView]:
    """Who took which slots."""
    taken: dict[str, list[str]] = {}
    for slot in slots:
        if slot.owner is not None:
            taken.setdefault(slot.owner, []).append(slot.slot)
    return [WorkerView(worker=worker, slots=held) for worker, held in sorted(taken.items())]
