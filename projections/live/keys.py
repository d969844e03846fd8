"""Names of keys and channels in Redis. All keys of a slot share one hash tag, so one call may touch them all."""

from __future__ import annotations

from dataclasses import dataclass

from projections.live.slots import Slot

FIRST_GENERATION = 1


def generation_key(namespace: str) -> str:
    """Holds the number of the live generation; also the channel on which a cut-over is announced."""
    return f"{namespace}:generation"


def lock_key(namespace: str) -> str:
    """Held by the one command that may build, name or drop generations; shares its hash slot with the pointer."""
    return f"{{{generation_key(namespace)}}}:lock"


def reprice_lock_key(namespace: str) -> str:
    """Held by the one command that may append adjustments."""
    return f"{namespace}:reprice:lock"


def known_key(namespace: str) -> str:
    """Hash: what is known of each generation, by its number."""
    return f"{{{generation_key(namespace)}}}:known"


def migration_key(namespace: str) -> str:
    """Hash: the steps of the last migration, and what has been done of them."""
    return f"{{{generation_key(namespace)}}}:migration"


def probe_key(namespace: str) -> str:
    """Written to see whether the server takes writes."""
    return f"{namespace}:probe"


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of one generation."""

    namespace: str
    generation: int

    @property
    def beginning(self) -> str:
        """What every key of the generation begins with."""
        return f"{self.namespace}:{{g{self.generation}:"

    @property
    def channel(self) -> str:
        """Channel on which commits announce what they changed."""
        return f"{self.namespace}:changes:g{self.generation}"

    def prefix(self, slot: Slot) -> str:
        """What every key of the slot begins with."""
        return f"{self.namespace}:{{g{self.generation}:{slot}}}:"

    def meta(self, slot: Slot) -> str:
        """Hash: epoch, owner, sealed, made_with, revision, clock_us, outbox_seq, published_seq, next:<topic>, tip:<topic>,
        derived:<topic>.<n>.
        """
        return self.prefix(slot) + "meta"

    def outbox(self, slot: Slot) -> str:
        """List of the entries that are committed and not yet known to be on the log."""
        return self.prefix(slot) + "outbox"

    def index(self, slot: Slot, kind: str) -> str:
        """Set of the ids of a kind."""
        return f"{self.prefix(slot)}index:{kind}"

    def permits(self, slot: Slot, deployment: str, epoch: int) -> str:
        """Sorted set of the probe permits that are out, by the time they end."""
        return f"{self.prefix(slot)}permits:{epoch}:{deployment}"
