"""The proof that a worker carries on beside its folding: its own slots, one after the other, at a small share of a core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.codec import Codec
from events.ids import derived_id
from events.settings import LogSettings
from processors import metrics
from processors.rebuild.progress import Progress
from processors.retry import until_done
from processors.slot_runner import Appends
from processors.verify.live import NOT_COMPARED, LiveProof, Verified
from processors.verify.pace import Share
from processors.verify.settings import VerifySettings
from projections.live.generations import Generations
from projections.live.look import keys_of
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

SOURCE = "interlock"
_LONGEST_TITLE = 1_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watch:
    """Verifies the slots that `owned` names. Nothing that it meets stops the worker."""

    settings: VerifySettings
    log: LogSettings
    live: LiveSettings
    codec: Codec
    publisher: Appends
    owned: Callable[[], Collection[Slot]]
    _raised: dict[Slot, frozenset[str]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.settings.pause_s)
            try:
                await self._round(sorted(self.owned()))
            except Exception as error:  # noqa: BLE001 - folding goes on, whatever its proof meets
                metrics.VERIFIED.labels("failed").inc()
                _log.warning("the live state could not be verified", why=str(error) or repr(error))

    async def _round(self, slots: Sequence[Slot]) -> None:
        """Each slot once, as long as it is this worker's."""
        for slot in self._raised.keys() - set(slots):
            del self._raised[slot]
            metrics.DRIFT.remove(str(slot))
        async with LiveStore(self.live) as store:
            generation = await Generations(store.connection, self.live.namespace).live()
        async with LiveStore(self.live.model_copy(update={"generation": generation})) as store:
            keys = await keys_of(store, slots, NOT_COMPARED)
            for number, slot in enumerate(slots):
                await asyncio.sleep(self.settings.pause_s if number else 0)
                if slot not in self.owned():
                    continue
                if len(keys.get(slot, ())) > self.settings.most_keys:
                    metrics.VERIFIED.labels("too_large").inc()
                else:
                    await self._verify(store, slot)

    async def _verify(self, store: LiveStore, slot: Slot) -> None:
        found = await self._proved(store, slot)
        if not found.comparison.is_equal:
            # A second look: what two proofs in a row find is no accident of the first.
            found = await self._proved(store, slot)
        differing = frozenset(one.key for one in found.comparison.differences)
        metrics.VERIFIED.labels("different" if differing else "equal").inc()
        metrics.DRIFT.labels(str(slot)).set(len(differing))
        if differing and differing != self._raised.get(slot):
            await self._raise(slot, found)
        self._raised[slot] = differing

    async def _proved(self, store: LiveStore, slot: Slot) -> Verified:
        share = Share(self.settings.share)
        progress = Progress(lambda *_: None)
        try:
            return await LiveProof(self.log, store, self.codec, progress, share).verify([slot])
        finally:
            metrics.VERIFY_RECORDS.inc(progress.folded)
            metrics.VERIFY_CPU_S.inc(share.worked_s)

    async def _raise(self, slot: Slot, found: Verified) -> None:
        """Once for the same keys: an alert on the log, and a line in the worker's own."""
        differences = found.comparison.differences
        title = (
            f"{slot}: {len(differences)} keys are not what the log says, first {differences[0].key}: "
            f"{differences[0].how}"
        )
        _log.error(
            "the live state is not what the log says", slot=str(slot), keys=len(differences), first=title
        )
        at_us = time.time_ns() // 1000
        alert = AlertRaised(
            event_id=derived_id(f"alert:live/{slot}", f"drift:{found.generation}:{at_us}"),
            occurred_at=at_us,
            source=SOURCE,
            tenant="",
            kind=AlertKind.OTHER,
            severity=AlertSeverity.CRITICAL,
            subject=f"live/{slot}",
            title=title[:_LONGEST_TITLE],
        )
        await until_done("verify", lambda: self.publisher.append([alert]))
