"""The barrier: the live generation stands still, with all that it has decided on the log, until this is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from events.publisher import Publisher
from processors.rebuild.target import Target, drained
from processors.retry import until_done
from projections.errors import LiveUnavailableError
from projections.live.commit import Lease
from projections.live.slots import Slot
from projections.live.store import LiveStore


@asynccontextmanager
async def sealed(
    live: LiveStore, slots: Sequence[Slot], publisher: Publisher, token: str
) -> AsyncIterator[Mapping[Slot, Target]]:
    """Where each slot stands. Its workers are fenced and wait; reads are answered, and appends taken, as before.

    What they had committed and not yet published is published here, so that nothing that was decided is ever decided
    again by the owners of another generation. When this process ends inside, the workers break the seals as soon as the
    lock of `token` is gone.
    """
    try:
        leases: list[Lease] = await asyncio.gather(
            *(until_done("live", partial(live.seal, slot, token)) for slot in slots)
        )
        yield {lease.slot: await drained(live, lease, publisher) for lease in leases}
    finally:
        with suppress(LiveUnavailableError):
            await asyncio.gather(*(live.unseal(slot, token) for slot in slots))
