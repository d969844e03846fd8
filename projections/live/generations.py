"""The generations of the live store: which there are, what is known of them, which is live, and how one is dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

import orjson

from projections.errors import ProjectionError
from projections.live.connection import LiveConnection
from projections.live.keys import FIRST_GENERATION, Keyspace, generation_key, known_key, lock_key

AT_ONCE = 500


class Stage(StrEnum):
    """How far a rebuilt generation has come."""

    BUILDING = "building"
    EQUAL = "equal"
    DIFFERENT = "different"
    AS_OF = "as_of"
    """It is as the live state was at an earlier position, and is never made live."""


class GenerationError(ProjectionError):
    """What was asked of a generation cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class BuiltUntil:
    """Up to where a generation is folded that is not to go on: its time, and the positions if it was cut by those."""

    time_us: int
    positions: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a rebuild has noted of its generation. `events_per_s` is how fast it was folded; 0 when not known."""

    stage: Stage
    built_from: int
    noted_us: int
    events_per_s: int = 0
    until: BuiltUntil | None = None

    def to_json(self) -> bytes:
        """Its bytes in the store."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, raw: bytes) -> Known:
        """From its bytes."""
        fields = orjson.loads(raw)
        stage, until = Stage(fields.pop("stage")), fields.pop("until", None)
        return cls(stage, until=BuiltUntil(**until) if until else None, **fields)


@dataclass(slots=True)
class Held:
    """What a generation takes up."""

    keys: int = 0
    held_bytes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class Generations:
    """Asked by operators and rebuilds, over the connection of a store."""

    def __init__(self, connection: LiveConnection, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace

    async def live(self) -> int:
        """The generation that is named live; the first when none is."""
        named = await self._connection.command("GET", generation_key(self._namespace))
        return int(named or FIRST_GENERATION)

    async def known(self) -> dict[int, Known]:
        """What was noted, by generation."""
        noted = await self._connection.command("HGETALL", known_key(self._namespace))
        return {int(number): Known.from_json(raw) for number, raw in sorted(noted.items())}

    async def note(self, generation: int, known: Known) -> None:
        """Keep what is known of a generation."""
        await self._connection.command("HSET", known_key(self._namespace), generation, known.to_json())

    async def held(self) -> dict[int, Held]:
        """What there is of each generation, by a walk through the whole keyspace; the live one always."""
        found = {await self.live(): Held()}
        numbered = re.compile(re.escape(self._namespace) + r":\{g(\d+):[^}]+\}:([^:]+)")
        async for page in self._connection.scan(f"{self._namespace}:{{g"):
            sizes = await self._connection.batch([("MEMORY", "USAGE", key) for key in page])
            for key, size in zip(page, sizes, strict=True):
                if match := numbered.match(key):
                    held = found.setdefault(int(match[1]), Held())
                    held.keys += 1
                    held.held_bytes += int(size or 0)
                    held.kinds[match[2]] += 1
        return dict(sorted(found.items()))

    async def next_free(self) -> int:
        """A number above all that are named, noted or hold a key."""
        return max((*(await self.known()), *(await self.held()))) + 1

    async def drop(self, generation: int) -> int:
        """Delete all keys of a generation; how many there were. GenerationError when it is live."""
        await self.require_not_live(generation)
        dropped = 0
        async for keys in self._keys(generation):
            await self._connection.batch([("UNLINK", key) for key in keys])
            dropped += len(keys)
        await self._connection.command("HDEL", known_key(self._namespace), generation)
        return dropped

    async def require_not_live(self, generation: int) -> None:
        """GenerationError when it is."""
        if generation == await self.live():
            raise GenerationError(
                f"generation {generation} is live: switch to another one before it is dropped"
            )

    async def _keys(self, generation: int) -> AsyncIterator[list[str]]:
        async for page in self._connection.scan(Keyspace(self._namespace, generation).beginning):
            for first in range(0, len(page), AT_ONCE):
                yield page[first : first + AT_ONCE]

    async def require_lock(self, token: str) -> None:
        """GenerationError when the lock is no longer held: seals are broken then, and what was compared has moved."""
        if await self._connection.command("GET", lock_key(self._namespace)) != token.encode():
            raise GenerationError(
                "the lock was lost while the generations were compared: run it again, it goes on"
            )

    async def cut_over(self, token: str, live: int, generation: int) -> None:
        """Make a generation live, for the holder of the lock. GenerationError when another is live, or the lock lost."""
        keys = (generation_key(self._namespace), lock_key(self._namespace))
        reply = await self._connection.function("cut_over", keys, (token, live, generation))
        if reply[0] != b"OK":
            raise GenerationError(
                f"generation {generation} was not made live: {reply[1].decode()} is not as it was"
            )
