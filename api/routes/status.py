"""`/v1/status`: how far everything is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter

from api import openapi
from api.generation_asked import InLook
from api.ports import InPorts, Ports
from api.resources.status import SlotView, StatusView, sink_view, slot_view, workers_of
from api.sinks import sink_names
from api.version import VERSION
from events.catalogue import TOPICS
from events.errors import LogUnavailableError
from events.positions import Partition
from processors.sinks.runner import group_of
from projections.errors import LiveUnavailableError
from projections.live.slots import TOPICS_OF_LEAD, Slot
from projections.live.store import LiveStore

router = APIRouter(prefix="/v1", tags=["status"])


@router.get("/status", summary="Positions, lags, owners", responses=openapi.problems(404, 422, 503))
async def show_status(ports: InPorts, look: InLook) -> StatusView:
    """How far each slot is, who owns it, and how far it is behind the log. Answers also when a part is away."""
    problems: list[str] = []
    # At once: while the log is away each of them waits for as long as a request to it may take.
    ends, sinks = await asyncio.gather(log_ends(ports, problems), sink_positions(ports, problems))
    slots = await slot_views(ports, look.store, ends, problems)
    lag = None
    if ends is not None and not any(slot.lag is None for slot in slots) and slots:
        lag = sum(records for slot in slots for records in (slot.lag or {}).values())
    return StatusView(
        version=VERSION,
        generation=look.store.keyspace.generation,
        partitions=ports.settings.log.partitions,
        lag=lag,
        slots=slots,
        sinks=[sink_view(name, positions, ends) for name, positions in sinks.items()],
        workers=workers_of(slots),
        log_ends={str(partition): end for partition, end in sorted(ends.items())}
        if ends is not None
        else None,
        problems=problems,
    )


def all_slots(partitions: int) -> list[Slot]:
    """Every slot there is."""
    return [Slot(lead, number) for lead in TOPICS_OF_LEAD for number in range(partitions)]


def all_partitions(partitions: int) -> list[Partition]:
    """Every partition of the log."""
    return [Partition(topic, number) for topic in TOPICS for number in range(partitions)]


async def sink_positions(ports: Ports, problems: list[str]) -> dict[str, dict[Partition, int]]:
    """How far each configured sink is, as its group says: so it is known also while the store is away."""
    wanted = all_partitions(ports.settings.log.partitions)

    async def committed(name: str) -> dict[Partition, int]:
        try:
            return await ports.log.groups.committed(group_of(ports.settings.log, name), wanted)
        except LogUnavailableError as error:
            problems.append(str(error))
            return {}

    names = sink_names(ports.settings)
    return dict(zip(names, await asyncio.gather(*map(committed, names)), strict=True))


async def log_ends(ports: Ports, problems: list[str]) -> dict[Partition, int] | None:
    """Where the topics end; None, and why, when the log does not say."""
    try:
        return await ports.log.ends.ends(all_partitions(ports.settings.log.partitions))
    except LogUnavailableError as error:
        problems.append(str(error))
        return None


async def slot_views(
    ports: Ports, store: LiveStore, ends: Mapping[Partition, int] | None, problems: list[str]
) -> list[SlotView]:
    """Where the slots are; none, and why, when the live store does not say."""
    slots = all_slots(ports.settings.log.partitions)
    try:
        checkpoints = await store.checkpoints(slots)
    except LiveUnavailableError as error:
        problems.append(str(error))
        return []
    try:
        await store.require_writable()
    except LiveUnavailableError as error:
        problems.append(f"the live state stands still, for its store takes no writes: {error}")
    if ends is not None:
        folded = {
            partition: checkpoints[slot].next_offsets.get(partition.topic, 0)
            for slot in slots
            for partition in slot.partitions
        }
        problems += await beyond_the_log(ports, {one: at for one, at in folded.items() if at > ends[one]})
    return [slot_view(slot, checkpoints[slot], ends) for slot in slots]


async def beyond_the_log(ports: Ports, folded: Mapping[Partition, int]) -> list[str]:
    """What was folded and is not on the log. Asked again: the log may have grown while the slots were read."""
    try:
        ends = await ports.log.ends.ends(folded) if folded else {}
    except LogUnavailableError as error:
        return [str(error)]
    return [
        f"{partition} is folded up to {offset:,}, and the log ends at {ends[partition]:,}: it was replaced, or has "
        "lost records (docs/runbooks.md, Broker lost)"
        for partition, offset in sorted(folded.items())
        if offset > ends[partition]
    ]
