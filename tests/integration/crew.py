"""Workers as processes of their own, started as an operator starts them."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pydantic import BaseModel

from embedded.process import Child, Launch
from tests.integration.live_server import eventually
from tests.integration.rig import Rig

SHARED_OUT_WITHIN_S = 60.0
_WORKERS = count(1)


@dataclass(slots=True)
class Crew:
    """Workers as processes of their own."""

    rig: Rig
    folder: Path
    members: list[Child] = field(default_factory=list)

    async def of(self, size: int) -> list[Child]:
        """So many workers that are alive and have shared the partitions out among them; those that are too many end."""
        self.members = [member for member in self.members if member.exit_code is None]
        while len(self.members) > size:
            await self.members.pop().stop()
        while len(self.members) < size:
            await self.join()
        await self.shared_out()
        return list(self.members)

    async def join(self) -> Child:
        """One more worker, which has not joined the group yet."""
        name = f"worker-{next(_WORKERS)}"
        member = await spawn(["work"], self.folder / f"{name}.log", LOG=self.rig.log, LIVE=self.rig.live)
        self.members.append(member)
        return member

    async def shared_out(self, among: Sequence[Child] | None = None) -> None:
        """Return when each of them owns partitions, the same ones of every topic, and nobody else owns any."""
        pids = {str(member.pid) for member in among or self.members}

        async def is_so() -> bool:
            by_number: dict[str, set[str]] = {}
            for slot, owner in (await self.rig.owners()).items():
                by_number.setdefault(slot.partition(".")[2], set()).add(owner.rpartition(":")[2])
            whole = all(len(owners) == 1 for owners in by_number.values())
            return whole and set().union(*by_number.values()) == pids

        try:
            await eventually(is_so, SHARED_OUT_WITHIN_S)
        except AssertionError:
            logs = "\n".join(f"{member.name}: {member.log_tail()}" for member in self.members)
            raise AssertionError(f"{await self.rig.owners()} is not shared among {pids}\n{logs}") from None

    async def dismiss(self) -> None:
        """End them all."""
        for member in self.members:
            await member.kill()
        self.members.clear()


async def spawn(command: Sequence[str], log: Path, **sections: BaseModel) -> Child:
    """A command of ours as a process of its own, with sections of the settings by name."""
    environment = dict(os.environ)
    for section, settings in sections.items():
        environment |= environment_of(section, settings)
    return await Child.spawn(log.stem, Launch([sys.executable, "-m", "api.cli", *command], environment), log)


def environment_of(section: str, settings: BaseModel) -> dict[str, str]:
    """The settings that differ from the defaults, as an operator would set them."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    return {f"INTERLOCK_{section}__{name.upper()}": str(value) for name, value in given.items()}


@asynccontextmanager
async def crew(rig: Rig, folder: Path) -> AsyncIterator[Crew]:
    """A crew without members yet; all are ended."""
    hired = Crew(rig, folder)
    try:
        yield hired
    finally:
        await hired.dismiss()
