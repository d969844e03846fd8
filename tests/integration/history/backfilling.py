"""A backfill of a test's history."""

from __future__ import annotations

from typing import Any

from processors.backfill.history import BackfillOutcome, HistoryBackfill
from processors.backfill.target import target_of
from processors.rebuild.store_plan import StoreOptions
from projections.history.excerpt import DAY_US, Excerpt
from tests.integration.history.place import Place
from tests.integration.rig import Rig
from tests.integration.traffic import now_us

HOUR_US = 3_600_000_000


def of_late(**asked: str) -> Excerpt:
    """What happened since yesterday."""
    return Excerpt(now_us() - DAY_US, now_us() + HOUR_US, **asked)


def backfill_of(
    rig: Rig, place: Place, target: str, excerpt: Excerpt | None = None, **options: Any
) -> HistoryBackfill:
    """A backfill that tells nobody how far it is."""
    told: list[str] = []
    return HistoryBackfill(
        rig.log,
        rig.codec,
        StoreOptions(**options),
        told.append,
        lambda *_: None,
        place.settings,
        target_of(target),
        excerpt or of_late(),
    )


async def filled(
    rig: Rig, place: Place, target: str, excerpt: Excerpt | None = None, **options: Any
) -> BackfillOutcome:
    """Run one to its end; what it has filled is proved."""
    outcome = await backfill_of(rig, place, target, excerpt, **options).run()
    assert [str(one) for one in outcome.found.comparison.differences] == []
    return outcome
