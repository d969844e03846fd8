"""The audit of retention: each step is announced before it is carried out, and ended with what came of it.

The audit topic is also the journal: a step that was announced and not ended was interrupted, and the next run ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from events.action_audited import ActionAudited, AuditResult
from events.catalogue import topic_named
from events.codec import Codec
from events.errors import InvalidEventError
from events.ids import derived_id
from events.publisher import Publisher
from events.reader import LogReader
from projections.retention.steps import AnyStep, Plan

TOPIC = "audit"
SOURCE = "interlock retention"
MAX_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class Journal:
    """Writes for one actor. An event's id follows from the step and how far it came: written twice, it is one."""

    publisher: Publisher
    reader: LogReader
    codec: Codec
    actor: str
    clock_us: Callable[[], int]

    async def started(self, step: AnyStep) -> None:
        """Acknowledged by the log before anything is touched."""
        await self._write(step, AuditResult.STARTED, f"{step.rows} rows, {step.bytes} bytes")

    async def ended(self, step: AnyStep, result: AuditResult, rows: int, detail: str) -> None:
        """What came of it."""
        await self._write(step, result, detail, rows)

    async def end_interrupted(self, plan: Plan) -> int:
        """End what was announced before, is not ended and is no longer to be done; how many that were."""
        due = {step.step_id for step in plan.steps}
        held_back = {(one.policy, one.subject) for one in plan.held_back}
        count = 0
        for started in await self._unended():
            step_id = started.correlation_id
            if step_id is None or step_id in due:
                continue
            kept = (started.attributes.get("policy", ""), started.subject) in held_back
            result = AuditResult.REFUSED if kept else AuditResult.DONE
            detail = (
                "interrupted, and held back since"
                if kept
                else "interrupted; it is no longer there to be done"
            )
            await self.publisher.append([self._ending(started, result, detail)])
            count += 1
        return count

    async def _unended(self) -> list[ActionAudited]:
        started: dict[str, ActionAudited] = {}
        ended: set[str] = set()
        topic = topic_named(TOPIC)
        async with aclosing(self.reader.read(TOPIC, await self.reader.ranges(TOPIC))) as batches:
            async for _, records in batches:
                for record in records:
                    try:
                        event = self.codec.decode(topic, record.value or b"")
                    except InvalidEventError:
                        continue
                    if isinstance(event, ActionAudited) and event.source == SOURCE and event.correlation_id:
                        if event.result is AuditResult.STARTED:
                            started[event.correlation_id] = event
                        else:
                            ended.add(event.correlation_id)
        return [event for step_id, event in started.items() if step_id not in ended]

    def _ending(self, started: ActionAudited, result: AuditResult, detail: str) -> ActionAudited:
        return ActionAudited(
            event_id=derived_id(f"audit/{started.correlation_id}", result.value),
            occurred_at=self.clock_us(),
            source=SOURCE,
            tenant="",
            correlation_id=started.correlation_id,
            causation_id=started.event_id,
            actor=self.actor,
            action=started.action,
            subject=started.subject,
            result=result,
            detail=detail,
            attributes=started.attributes,
        )

    async def _write(self, step: AnyStep, result: AuditResult, detail: str, rows: int | None = None) -> None:
        attributes = {"policy": step.policy, "action": step.action.value, "planned_rows": str(step.rows)}
        if rows is not None:
            attributes["rows"] = str(rows)
        event = ActionAudited(
            event_id=derived_id(f"audit/{step.step_id}", result.value),
            occurred_at=self.clock_us(),
            source=SOURCE,
            tenant="",
            correlation_id=step.step_id,
            actor=self.actor,
            action=f"retention.{step.what}",
            subject=step.subject,
            result=result,
            detail=detail[:MAX_DETAIL],
            attributes=attributes,
        )
        await self.publisher.append([event])
