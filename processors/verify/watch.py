"""The proof that a worker carries on beside its folding: its own slots, one after the other, at a small share of a core.

The naive fold of a slot is kept, so that the next proof of it folds only what has come since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from events.codec import Codec
from events.ids import derived_id
from events.reader import LogReader
from events.settings import LogSettings
from processors import metrics
from processors.rebuild.progress import Progress
from processors.retry import until_done
from processors.slot_runner import Appends
from processors.verify.live import NOT_COMPARED, live_generation
from processors.verify.pace import Share
from processors.verify.settings import VerifySettings
from processors.verify.slot_proof import Means, SlotProof
from projections.live.digest import Comparison
from projections.live.look import keys_of
from projections.live.slots import Slot
from projections.live.store import LiveStore
from projections.settings import LiveSettings

SOURCE = "interlock"
_LONGEST_TITLE = 1_000

_log = structlog.get_logger(__name__)


@contextmanager
def _noted(what: str) -> Iterator[None]:
    """Whatever a proof meets, folding goes on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        metrics.VERIFIED.labels("failed").inc()
        _log.warning("the live state could not be verified", what=what, why=str(error) or repr(error))


@dataclass(slots=True)
class Watch:
    """Verifies the slots that `owned` names. Nothing that it meets stops the worker."""

    settings: VerifySettings
    log: LogSettings
    live: LiveSettings
    codec: Codec
    publisher: Appends
    owned: Callable[[], Collection[Slot]]
    _proofs: dict[Slot, SlotProof] = field(default_factory=dict)
    _sizes: dict[Slot, int] = field(default_factory=dict)
    _generation: int | None = None
    _raised: dict[Slot, frozenset[str]] = field(default_factory=dict)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.settings.pause_s)
            with _noted("all slots"):
                await self._round(sorted(self.owned()))

    async def _round(self, slots: Sequence[Slot]) -> None:
        """Each slot once, as long as it is this worker's."""
        for slot in self._raised.keys() - set(slots):
            del self._raised[slot]
            self._forget(slot)
            metrics.DRIFT.remove(str(slot))
        live = await live_generation(self.live)
        if live.generation != self._generation:
            self._proofs.clear()
            self._generation = live.generation
        async with LiveStore(live) as store:
            keys = await keys_of(store, slots, NOT_COMPARED)
            for number, slot in enumerate(slots):
                await asyncio.sleep(self.settings.pause_s if number else 0)
                if slot in self.owned():
                    with _noted(str(slot)):
                        await self._slot(store, slot, keys.get(slot, set()))

    async def _slot(self, store: LiveStore, slot: Slot, keys: set[str]) -> None:
        """The records that came since the last time, then all keys. What is folded is kept as far as `most_keys` allows."""
        if len(keys) > self.settings.most_keys:
            self._forget(slot)
            metrics.VERIFIED.labels("too_large").inc()
            return
        try:
            found = await self._proved(store, slot, keys)
            if not found.is_equal:
                # A second look, with a fold of its own: what two proofs in a row find is no accident of the first.
                self._forget(slot)
                found = await self._proved(store, slot, keys)
        except BaseException:
            self._forget(slot)
            raise
        self._sizes[slot] = len(keys) + self._proofs[slot].naive.remembered
        if sum(self._sizes[each] for each in self._proofs) > self.settings.most_keys:
            self._forget(slot)
        differing = frozenset(one.key for one in found.differences)
        metrics.VERIFIED.labels("different" if differing else "equal").inc()
        metrics.DRIFT.labels(str(slot)).set(len(differing))
        if differing and differing != self._raised.get(slot):
            await self._raise(slot, found)
        self._raised[slot] = differing

    async def _proved(self, store: LiveStore, slot: Slot, keys: set[str]) -> Comparison:
        progress, share = Progress(lambda *_: None), Share(self.settings.share)
        means = Means(self.log, store, self.codec, progress, share, LogReader(self.log))
        proof = self._proofs.setdefault(slot, SlotProof.of(slot, means))
        try:
            for part in await proof.parts(means):
                progress.expect(slot, part.topic, part.start, part.end)
            return await proof.prove(means, keys)
        finally:
            metrics.VERIFY_RECORDS.inc(progress.folded)
            metrics.VERIFY_CPU_S.inc(share.worked_s)

    def _forget(self, slot: Slot) -> None:
        self._proofs.pop(slot, None)

    async def _raise(self, slot: Slot, found: Comparison) -> None:
        """Once for the same keys: an alert on the log, and a line in the worker's own."""
        differences = found.differences
        title = (
            f"{slot}: {len(differences)} keys are not what the log says, first {differences[0].key}: "
            f"{differences[0].how}"
        )
        _log.error(
            "the live state is not what the log says", slot=str(slot), keys=len(differences), first=title
        )
        at_us = time.time_ns() // 1000
        alert = AlertRaised(
            event_id=derived_id(f"alert:live/{slot}", f"drift:{self._generation}:{at_us}"),
            occurred_at=at_us,
            source=SOURCE,
            tenant="",
            kind=AlertKind.OTHER,
            severity=AlertSeverity.CRITICAL,
            subject=f"live/{slot}",
            title=title[:_LONGEST_TITLE],
        )
        await until_done("verify", lambda: self.publisher.append([alert]))
