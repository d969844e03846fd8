"""What a projection was made with: the version of its code, and the schemas that its events were read by.

It is noted beside a state when that is begun, and goes where the state goes: in Redis in each slot's `meta`, in Postgres on the
table of checkpoints, in Chroma on the collection of checkpoints. `interlock migrate` compares it with what this release is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

import orjson

from events.schemas import load_schemas
from projections.errors import ProjectionError


class Projection(StrEnum):
    """What is made of the log and can be made of it anew, beside the one that is live."""

    LIVE = "live"
    HISTORY = "history"
    ANALYTICS = "analytics"


FOLDS: dict[Projection, int] = {Projection.LIVE: 1, Projection.HISTORY: 1, Projection.ANALYTICS: 1}
"""Raise it with a change after which the same log makes another state. A test keeps a digest of each state, and fails when
that changes and the number does not.
"""


@dataclass(frozen=True, slots=True)
class MadeWith:
    """`schemas`: the newest version of each event type, by its folder. Without a note a state is of the first fold."""

    fold: int = 1
    schemas: Mapping[str, int] = field(default_factory=dict)

    def to_text(self) -> str:
        """As it is noted."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS).decode()

    @classmethod
    def from_text(cls, text: str | bytes | None) -> MadeWith:
        """From a note; the first one when there is none."""
        return cls(**orjson.loads(text)) if text else cls()

    def reasons(self, release: MadeWith, folders: Collection[str]) -> Iterator[str]:
        """Why a state that was made so is not what the release makes of these event types.

        A type that was not known then is none: there was no event of it.
        """
        if self.fold != release.fold:
            yield f"fold {self.fold} -> {release.fold}"
        for folder in sorted(self.schemas.keys() & release.schemas.keys() & set(folders)):
            before, now = self.schemas[folder], release.schemas[folder]
            if before != now:
                yield f"{folder} v{before} -> v{now}"


def refuse_later(what: str, made: MadeWith, projection: Projection, error: type[ProjectionError]) -> None:
    """Raise the error when a later release has made it: what it holds is not to be gone on with by this one."""
    fold = FOLDS[projection]
    if made.fold > fold:
        raise error(
            f"{what} is of fold {made.fold}, which a later release has made, and this one has fold {fold}: run that release, or "
            "put back what was live before with `interlock migrate rollback`"
        )


@cache
def _versions() -> dict[str, int]:
    return {folder: len(versions) for folder, versions in load_schemas().items()}


def made_with_release(projection: Projection) -> MadeWith:
    """What this release makes it with."""
    return MadeWith(FOLDS[projection], _versions())
