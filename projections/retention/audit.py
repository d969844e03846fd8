"""What retention tells the audit of its steps: each is announced before it is carried out, and ended with what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from events.action_audited import AuditResult
from projections.audit import Action, Audit
from projections.retention.steps import AnyStep, Plan

SOURCE = "interlock retention"


@dataclass(frozen=True, slots=True)
class Journal:
    """The steps of one run. The audit is of the source above."""

    audit: Audit

    async def started(self, step: AnyStep) -> None:
        """Acknowledged by the log before anything is touched."""
        await self.audit.tell(_action(step), AuditResult.STARTED, f"{step.rows} rows, {step.bytes} bytes")

    async def ended(self, step: AnyStep, result: AuditResult, rows: int, detail: str) -> None:
        """What came of it."""
        await self.audit.tell(_action(step, rows=str(rows)), result, detail)

    async def end_interrupted(self, plan: Plan) -> int:
        """End what was announced before, is not ended and is no longer to be done; how many that were."""
        due = {step.step_id for step in plan.steps}
        held_back = {(one.policy, one.subject) for one in plan.held_back}
        count = 0
        for step_id, told in (await self.audit.told()).items():
            started = told.started
            if started is None or told.has_ended or step_id in due:
                continue
            if (started.attributes.get("policy", ""), started.subject) in held_back:
                await self.audit.end(started, AuditResult.REFUSED, "interrupted, and held back since")
            else:
                await self.audit.end(
                    started, AuditResult.DONE, "interrupted; it is no longer there to be done"
                )
            count += 1
        return count


def _action(step: AnyStep, **more: str) -> Action:
    attributes = {"policy": step.policy, "action": step.action.value, "planned_rows": str(step.rows)}
    return Action(step.step_id, f"retention.{step.what}", step.subject, attributes | more)
