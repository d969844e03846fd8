"""A gateway's own book on disk: every event it means to publish, and which of them the log acknowledged.

JSON lines. An event is written and synced before it is published, so that a gateway that dies owes nothing it does not
know of. Kinds of line: `usage` and `routing` (the event), `acknowledged` (event ids), `repeated` (event ids that were
published once more although they had been acknowledged, as after an acknowledgement that got lost).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from demo.errors import BrokenRunError
from events.envelope import Event
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """One call to a provider. `cost_nano_usd` is None when no price was known."""

    event_id: str
    gateway: str
    tenant: str
    deployment: str
    outcome: str
    cost_nano_usd: int | None
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class RoutingEntry:
    """One decision; `deployment` is empty when nothing could be chosen."""

    event_id: str
    gateway: str
    tenant: str
    deployment: str


@dataclass(frozen=True, slots=True)
class Books:
    """The ledgers of all gateways together."""

    usage: dict[str, UsageEntry] = field(default_factory=dict)
    routing: dict[str, RoutingEntry] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    repeats: int = 0

    @property
    def unacknowledged(self) -> set[str]:
        """Events of which no gateway knows whether they are on the log."""
        return (self.usage.keys() | self.routing.keys()) - self.acknowledged

    def spend_by_tenant(self) -> dict[str, int]:
        """Nano-USD of the acknowledged calls."""
        spend: dict[str, int] = {}
        for event_id, entry in self.usage.items():
            if event_id in self.acknowledged:
                spend[entry.tenant] = spend.get(entry.tenant, 0) + (entry.cost_nano_usd or 0)
        return spend


class Ledger:
    """Writes one gateway's book. Each call returns when its lines are on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedWriter | None = None

    def __enter__(self) -> Self:
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, events: Sequence[Event]) -> None:
        """Enter events that are about to be published."""
        self._append(_line(event) for event in events)

    def acknowledge(self, event_ids: Sequence[str]) -> None:
        """Enter that the log has these events."""
        self._append([{"acknowledged": event_ids}])

    def repeat(self, event_ids: Sequence[str]) -> None:
        """Enter that these events are about to be published once more."""
        self._append([{"repeated": event_ids}])

    def _append(self, lines: Iterable[object]) -> None:
        if self._file is None:
            raise BrokenRunError(f"the ledger {self._path} is not open")
        self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        self._file.flush()
        os.fdatasync(self._file.fileno())


def _line(event: Event) -> object:
    match event:
        case UsageRecorded():
            entry: UsageEntry | RoutingEntry = UsageEntry(
                event.event_id,
                event.source,
                event.tenant,
                f"{event.provider}/{event.model}",
                event.outcome,
                event.cost_nano_usd,
                event.input_tokens,
                event.output_tokens,
            )
            return {"usage": entry}
        case RoutingDecided():
            deployment = f"{event.provider}/{event.model}" if event.provider else ""
            entry = RoutingEntry(event.event_id, event.source, event.tenant, deployment)
            return {"routing": entry}
        case _:
            raise BrokenRunError(f"a gateway keeps no book of {type(event).__name__}")


def read_ledgers(paths: Iterable[Path]) -> Books:
    """The books of all gateways. BrokenRunError names the line that is none."""
    usage: dict[str, UsageEntry] = {}
    routing: dict[str, RoutingEntry] = {}
    acknowledged: set[str] = set()
    repeats = 0
    for path in paths:
        for number, raw in enumerate(path.read_bytes().splitlines(), 1):
            try:
                ((kind, value),) = orjson.loads(raw).items()
                if kind == "usage":
                    usage[value["event_id"]] = UsageEntry(**value)
                elif kind == "routing":
                    routing[value["event_id"]] = RoutingEntry(**value)
                elif kind == "acknowledged":
                    acknowledged.update(value)
                else:
                    repeats += len(value)
            except (ValueError, TypeError, KeyError) as error:
                raise BrokenRunError(f"{path}, line {number} is no entry of a ledger: {error}") from None
    return Books(usage, routing, acknowledged, repeats)
