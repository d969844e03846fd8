"""Probe permits: who may try a half-open deployment. Short leases, bounded per deployment and epoch."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from projections.live.slots import slot_of
from projections.live.store import LiveStore


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to one probe. The outcome of the probe has to carry `epoch`."""

    permit_id: str
    deployment: str
    epoch: int
    until_us: int


class Permits:
    """Hands out the permits of all deployments; any number of gateways may ask at once."""

    def __init__(self, store: LiveStore, partitions: int) -> None:
        self._store = store
        self._partitions = partitions

    async def acquire(self, deployment: str, epoch: int, *, concurrent: int, now_us: int) -> Permit | None:
        """A permit, or None while `concurrent` of that epoch are out. One that is not returned ends by itself.

        The time is the asking gateway's: gateways whose clocks differ see a lease longer or shorter by that much.
        """
        lease_us = round(self._store.settings.probe_lease_s * 1_000_000)
        permit = Permit(str(uuid4()), deployment, epoch, now_us + lease_us)
        granted = await self._store.connection.function(
            "probe", (self._key(deployment, epoch),), (permit.permit_id, now_us, lease_us, concurrent)
        )
        return permit if granted else None

    async def release(self, permit: Permit) -> None:
        """Give the permit back once its probe has ended. A permit that ended before is no error."""
        await self._store.connection.command(
            "ZREM", self._key(permit.deployment, permit.epoch), permit.permit_id
        )

    def _key(self, deployment: str, epoch: int) -> str:
        slot = slot_of("breaker", deployment, self._partitions)
        return self._store.keyspace.permits(slot, deployment, epoch)
