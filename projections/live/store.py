"""The live store: a slot's states, checkpoints, fence and outbox, which move together in one atomic call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from projections.errors import BrokenInvariantError, FencedError, LiveUnavailableError, StaleCheckpointError
from projections.live.change import Change
from projections.live.checkpoint import Checkpoint
from projections.live.commit import Commit, Lease, lay_out
from projections.live.connection import Argument, LiveConnection
from projections.live.keys import FIRST_GENERATION, Keyspace, generation_key, lock_key, probe_key
from projections.live.outbox import OutboxEntry
from projections.live.slots import Slot
from projections.made_with import MadeWith, Projection, made_with_release, refuse_later
from projections.settings import LiveSettings

__all__ = ["Checkpoint", "Commit", "Lease", "LiveStore", "OutboxEntry"]

_NO_REVISION = -1
_WIPE_ATTEMPTS = 5
_PROBE_LASTS_MS = 1000


class LiveStore:
    """One generation of the live projections; follows the one that is named live unless the settings name one.

    Every call ends within the settings' bounds; LiveUnavailableError when Redis does not answer.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = settings
        self.connection = LiveConnection(settings)
        self.keyspace = Keyspace(settings.namespace, settings.generation or FIRST_GENERATION)
        self._revisions: dict[Slot, tuple[int, int]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.connection.close()

    async def follow(self) -> int:
        """Turn to the generation that is named live, and return it. A lease of another one is refused from then on.

        None is named at first, and after a flush: then it is the first, for all alike, and who had read another is told.
        """
        if self.settings.generation is None:
            key = generation_key(self.settings.namespace)
            generation = int(await self.connection.command("GET", key) or FIRST_GENERATION)
            left, self.keyspace = self.keyspace.generation, Keyspace(self.settings.namespace, generation)
            if generation < left:
                await self.connection.command("PUBLISH", key, generation)
        return self.keyspace.generation

    async def require_writable(self) -> None:
        """LiveUnavailableError when the server answers and takes no writes: full, without its disk or its replicas."""
        await self.connection.command("SET", probe_key(self.settings.namespace), b"", "PX", _PROBE_LASTS_MS)

    async def name_live(self, generation: int) -> None:
        """From now on readers and workers follow that generation, whatever it holds. See `Handover` for a safe way."""
        key = generation_key(self.settings.namespace)
        await self.connection.command("SET", key, generation)
        await self.connection.command("PUBLISH", key, generation)

    async def acquire(self, slot: Slot, owner: str) -> Lease:
        """Take the slot over: whoever held it before is fenced. `owner` is named in the errors that others get.

        LiveUnavailableError while the slot is sealed, because another generation is about to be live, and while it is one of a
        later fold than this release has: what it holds is not to be gone on with here.
        """
        while True:
            generation = await self.follow()
            keys = (self.keyspace.meta(slot), self.keyspace.outbox(slot))
            made = MadeWith.from_text(await self.connection.command("HGET", keys[0], "made_with"))
            refuse_later(str(slot), made, Projection.LIVE, LiveUnavailableError)
            reply = await self.connection.function("acquire", keys, (owner, _made_with()))
            if reply[0] == b"SEALED":
                await self._break_seal(slot, reply[1].decode(), generation)
            elif await self.follow() == generation:
                # Else this one may have been dropped before it was acquired, and nobody would ever say so.
                return self._lease(slot, reply)

    async def seal(self, slot: Slot, token: str) -> Lease:
        """Take the slot over for the holder of the lock of that token: nobody else can, until `unseal`."""
        keys = (self.keyspace.meta(slot), self.keyspace.outbox(slot))
        return self._lease(slot, await self.connection.function("seal", keys, (token, _made_with())))

    async def unseal(self, slot: Slot, token: str) -> None:
        """Give the slot back to whoever acquires it. The seal of another token stays."""
        await self.connection.function("unseal", (self.keyspace.meta(slot),), (token,))

    async def _break_seal(self, slot: Slot, token: str, generation: int) -> None:
        """Break a seal whose lock is gone: no cut-over can follow from it. If one has, the generation says so."""
        holder = await self.connection.command("GET", lock_key(self.settings.namespace))
        if holder is not None and holder.decode() == token:
            raise LiveUnavailableError(f"{slot} is sealed: {token} is about to make another generation live")
        if await self.follow() == generation:
            await self.unseal(slot, token)

    def _lease(self, slot: Slot, reply: Sequence[Any]) -> Lease:
        fields, entries = reply
        checkpoint = Checkpoint.from_hash(dict(zip(fields[::2], fields[1::2], strict=True)))
        self._revisions[slot] = (checkpoint.epoch, checkpoint.revision)
        return Lease(
            slot=slot,
            epoch=checkpoint.epoch,
            next_offsets=checkpoint.next_offsets,
            clock_us=checkpoint.clock_us,
            outbox_seq=checkpoint.outbox_seq,
            outbox=tuple(OutboxEntry.from_bytes(entry) for entry in entries),
            derived=checkpoint.derived,
            tips=checkpoint.tips,
        )

    async def commit(self, lease: Lease, commit: Commit) -> None:
        """Write all of it, or nothing.

        FencedError when another owner has the slot; StaleCheckpointError when the slot is not as this store left it:
        flushed, rolled back, or already past this commit because the reply to it was lost. Then acquire again.
        """
        layout = lay_out(commit, lease.slot, lease.epoch, self._revision(lease), self.keyspace)
        reply = await self.connection.function("commit", layout.keys, layout.arguments)
        _refuse(lease, reply)
        self._revisions[lease.slot] = (lease.epoch, int(reply[1]))

    async def published(self, lease: Lease, up_to_seq: int, derived: Mapping[str, int]) -> None:
        """Outbox entries to `up_to_seq`, included, are on the log: drop them. `derived` sets the hints of those names.

        Raises as `commit` does: what was published may be unknown to a slot that was rolled back meanwhile.
        """
        keys = (self.keyspace.meta(lease.slot), self.keyspace.outbox(lease.slot))
        arguments: list[Argument] = [
            lease.epoch,
            self._revision(lease),
            up_to_seq,
            self.keyspace.channel,
            Change(lease.slot).to_json(),
        ]
        for hint, offset in derived.items():
            arguments += [f"derived:{hint}", offset]
        _refuse(lease, await self.connection.function("published", keys, arguments))

    async def check(self, lease: Lease) -> None:
        """Nothing when the lease holds and the slot is as this store left it, else the errors of `commit`.

        For an idle owner: a flush or a roll-back shows before there is something to commit.
        """
        generation = self.keyspace.generation
        if await self.follow() != generation:
            raise StaleCheckpointError(f"{lease.slot}: another generation is live: acquire the slot again")
        stored = (await self.checkpoints((lease.slot,)))[lease.slot]
        if stored.epoch > lease.epoch:
            raise _fenced(lease, stored.epoch, stored.owner)
        if (stored.epoch, stored.revision) != (lease.epoch, self._revision(lease)):
            raise StaleCheckpointError(
                f"{lease.slot}: the slot was flushed or rolled back: acquire the slot again"
            )

    async def read_owned(self, lease: Lease, keys: Sequence[str]) -> dict[str, bytes]:
        """As `read`, for the slot's owner; raises as `commit` does.

        What is read while another has the slot would else get into a commit of this owner, should Redis go back to where
        this one had it.
        """
        values = await self._read_owned(lease, [], [self.keyspace.prefix(lease.slot) + key for key in keys])
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def ids_owned(self, lease: Lease, kind: str) -> list[str]:
        """As `ids`, for the slot's owner; raises as `commit` does."""
        [members] = await self._read_owned(lease, [self.keyspace.index(lease.slot, kind)], [])
        return sorted(member.decode() for member in members)

    async def _read_owned(self, lease: Lease, indexes: list[str], states: list[str]) -> Sequence[Any]:
        keys = (self.keyspace.meta(lease.slot), *indexes, *states)
        arguments = (lease.epoch, self._revision(lease), len(indexes))
        reply = await self.connection.function("read", keys, arguments)
        _refuse(lease, reply)
        found: Sequence[Any] = reply[1]
        return found

    async def read(self, slot: Slot, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of `kind:id` keys, as one MGET; missing ones are absent."""
        return (await self.read_slots({slot: keys}))[slot]

    async def read_slots(self, wanted: Mapping[Slot, Sequence[str]]) -> dict[Slot, dict[str, bytes]]:
        """As `read`, of many slots at once. Each slot is read atomically, all together are not."""
        asked = {slot: keys for slot, keys in wanted.items() if keys}
        replies = await self.connection.batch(
            [("MGET", *(self.keyspace.prefix(slot) + key for key in keys)) for slot, keys in asked.items()]
        )
        found: dict[Slot, dict[str, bytes]] = {slot: {} for slot in wanted}
        for (slot, keys), values in zip(asked.items(), replies, strict=True):
            found[slot] = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        return found

    async def ids(self, slots: Iterable[Slot], kind: str) -> dict[Slot, list[str]]:
        """The ids of an indexed kind, sorted, by slot."""
        asked = tuple(slots)
        replies = await self.connection.batch(
            [("SMEMBERS", self.keyspace.index(slot, kind)) for slot in asked]
        )
        return {
            slot: sorted(member.decode() for member in members)
            for slot, members in zip(asked, replies, strict=True)
        }

    async def read_all(self, slots: Iterable[Slot], kind: str) -> dict[str, bytes]:
        """All states of an indexed kind in the slots, by id."""
        ids = await self.ids(slots, kind)
        found = await self.read_slots(
            {slot: [f"{kind}:{name}" for name in names] for slot, names in ids.items()}
        )
        return {key.partition(":")[2]: value for values in found.values() for key, value in values.items()}

    async def checkpoints(self, slots: Iterable[Slot]) -> dict[Slot, Checkpoint]:
        """Where each slot is."""
        asked = tuple(slots)
        replies = await self.connection.batch([("HGETALL", self.keyspace.meta(slot)) for slot in asked])
        return {slot: Checkpoint.from_hash(reply) for slot, reply in zip(asked, replies, strict=True)}

    async def wipe(self, slot: Slot) -> None:
        """Delete all of the slot at once, so that its next owner starts anew; a present owner finds itself stale.

        LiveUnavailableError when its owner writes so often that no moment between two commits was found.
        """
        meta = self.keyspace.meta(slot)
        for _ in range(_WIPE_ATTEMPTS):
            seen = await self.connection.command("HMGET", meta, "epoch", "revision")
            keys = await self.connection.keys_with_prefix(self.keyspace.prefix(slot))
            others = [key for key in keys if key != meta]
            if await self.connection.function("wipe", [meta, *others], [value or b"" for value in seen]):
                return
        raise LiveUnavailableError(f"{slot} is being written to: stop its worker, then wipe it again")

    def _revision(self, lease: Lease) -> int:
        epoch, revision = self._revisions.get(lease.slot, (0, _NO_REVISION))
        return revision if epoch == lease.epoch else _NO_REVISION


def _made_with() -> str:
    return made_with_release(Projection.LIVE).to_text()


def _refuse(lease: Lease, reply: Sequence[bytes]) -> None:
    match reply:
        case [b"OK", *_]:
            return
        case [b"FENCED", epoch, owner]:
            raise _fenced(lease, int(epoch), owner.decode())
        case [b"LOST", detail]:
            raise StaleCheckpointError(f"{lease.slot}: {detail.decode()}: acquire the slot again")
        case _:
            raise BrokenInvariantError(f"{lease.slot}: the store replied {reply!r}")


def _fenced(lease: Lease, epoch: int, owner: str) -> FencedError:
    detail = f"{lease.slot}: epoch {lease.epoch} is over, {owner} holds the slot at epoch {epoch}"
    return FencedError(detail, owner=owner, epoch=epoch)
