"""The audit topic as a journal: what is done to recorded data is announced before, and ended with what came of it.

What was announced and not ended was interrupted; the next run finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from events.action_audited import ActionAudited, AuditResult
from events.catalogue import TOPICS
from events.codec import Codec, from_record
from events.errors import InvalidEventError
from events.ids import derived_id
from events.publisher import Publisher
from events.reader import LogReader

TOPIC = TOPICS["audit"]
MAX_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done to one subject. `action_id` is the same for the same thing, whoever does it and when."""

    action_id: str
    name: str
    subject: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Told:
    """What the log says of one action: how it was announced, and whether it has ended."""

    started: ActionAudited | None = None
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class Audit:
    """Tells for one actor what one tool, the `source`, does.

    An event's id follows from the action and how far it came: told twice, it is one.
    """

    source: str
    actor: str
    publisher: Publisher
    reader: LogReader
    codec: Codec
    clock_us: Callable[[], int]

    async def tell(
        self, action: Action, result: AuditResult, detail: str, causation_id: str | None = None
    ) -> None:
        """Acknowledged by the log when it returns. InvalidEventError names what it may not say, an actor of no name first."""
        values = {
            "event_id": derived_id(f"audit/{action.action_id}", result.value),
            "occurred_at": self.clock_us(),
            "source": self.source,
            "tenant": "",
            "correlation_id": action.action_id,
            "causation_id": causation_id,
            "actor": self.actor,
            "action": action.name,
            "subject": action.subject,
            "result": result,
            "detail": detail[:MAX_DETAIL],
            "attributes": dict(action.attributes),
        }
        await self.publisher.append([from_record(TOPIC, values)])

    async def end(self, started: ActionAudited, result: AuditResult, detail: str) -> None:
        """End what was announced by a run before this one."""
        assert started.correlation_id is not None
        action = Action(started.correlation_id, started.action, started.subject, started.attributes)
        await self.tell(action, result, detail, started.event_id)

    async def told(self) -> dict[str, Told]:
        """By its id, each action of this tool that is on the log."""
        found: dict[str, Told] = {}
        async with aclosing(self.reader.read(TOPIC.name, await self.reader.ranges(TOPIC.name))) as batches:
            async for _, records in batches:
                for record in records:
                    try:
                        event = self.codec.decode(TOPIC, record.value)
                    except InvalidEventError:
                        continue
                    assert isinstance(event, ActionAudited)
                    if event.source != self.source or event.correlation_id is None:
                        continue
                    one = found.setdefault(event.correlation_id, Told())
                    if event.result is AuditResult.STARTED:
                        one.started = event
                    else:
                        one.has_ended = True
        return found
