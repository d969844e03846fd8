"""What a migration has planned and done, noted in Redis: whoever runs it again, from wherever, goes on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from processors.migration.steps import Name, Step
from projections.live.keys import migration_key
from projections.live.store import LiveStore
from projections.made_with import Projection

_PLAN = "plan"
_DONE = "done:"
_FROM = "from:"
_BACK = "back:"
_ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Written:
    """`release`: what the one that began it makes the projections with, in words. `done`: figures of the steps, by name.

    `came_from`: which one of a projection was live before its rebuild began. `back`: those that were put back since.
    """

    begun_us: int
    release: Mapping[str, str]
    steps: Sequence[Step]
    done: Mapping[Name, Mapping[str, Any]] = field(default_factory=dict)
    came_from: Mapping[Projection, str] = field(default_factory=dict)
    back: frozenset[Projection] = frozenset()
    ended: bool = False

    @property
    def left(self) -> list[Step]:
        """What is still to be done."""
        return [] if self.ended else [step for step in self.steps if step.name not in self.done]


class Journal:
    """One hash; each note is a field of it, so that none takes away another."""

    def __init__(self, store: LiveStore) -> None:
        self._command = store.connection.command
        self._key = migration_key(store.settings.namespace)

    async def read(self) -> Written | None:
        """What is written of the last migration; None when there was none."""
        noted = {name.decode(): raw for name, raw in (await self._command("HGETALL", self._key)).items()}
        if _PLAN not in noted:
            return None
        plan = orjson.loads(noted[_PLAN])
        return Written(
            plan["begun_us"],
            plan["release"],
            [Step(Name(step["name"]), step["does"], step["why"]) for step in plan["steps"]],
            {Name(name): orjson.loads(raw) for name, raw in _of(noted, _DONE).items()},
            {Projection(name): raw.decode() for name, raw in _of(noted, _FROM).items()},
            frozenset(Projection(name) for name in _of(noted, _BACK)),
            _ENDED in noted,
        )

    async def begin(self, plan: Written) -> None:
        """Forget the one before, and write this plan."""
        await self._command("DEL", self._key)
        said = {"begun_us": plan.begun_us, "release": plan.release, "steps": plan.steps}
        await self._command("HSET", self._key, _PLAN, orjson.dumps(said))

    async def done(self, name: Name, figures: Mapping[str, Any]) -> None:
        """A step is done."""
        await self._command("HSET", self._key, _DONE + name, orjson.dumps(figures))

    async def comes_from(self, projection: Projection, identity: str) -> str:
        """Note which one was live before its rebuild; the first note counts, and is returned."""
        await self._command("HSETNX", self._key, _FROM + projection, identity)
        noted: bytes = await self._command("HGET", self._key, _FROM + projection)
        return noted.decode()

    async def is_back(self, projection: Projection) -> None:
        """It was put back."""
        await self._command("HSET", self._key, _BACK + projection, b"1")

    async def end(self) -> None:
        """Nothing of it is left to do."""
        await self._command("HSET", self._key, _ENDED, b"1")


def _of(noted: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {name.removeprefix(prefix): raw for name, raw in noted.items() if name.startswith(prefix)}
