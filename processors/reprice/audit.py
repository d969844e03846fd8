"""What a repricing tells the audit: who corrected what by which prices, announced before the first adjustment."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from events.action_audited import AuditResult
from events.ids import derived_id
from events.money import format_usd
from events.spend_adjusted import SpendAdjusted
from processors.backtest.prices import Prices
from processors.reprice.repricing import Call
from processors.reprice.scope import Scope
from projections.audit import Action, Audit

SOURCE = "interlock reprice"
ACTION = "reprice.apply"
SUBJECT = "log/usage"


@dataclass(frozen=True, slots=True)
class Correction:
    """One repricing of a scope. One that was interrupted is gone on with under the same id."""

    audit: Audit
    action_id: str
    is_resumed: bool
    reason: str
    attributes: dict[str, str]

    def adjustment(self, call: Call, at_us: int) -> SpendAdjusted:
        """The event that corrects a call."""
        return call.adjustment(at_us, self.audit.actor, self.reason, self.action_id)

    async def started(self, adjustments: int, difference_nano_usd: int) -> None:
        """Acknowledged by the log before anything is adjusted; InvalidEventError when actor or reason are none."""
        if not self.is_resumed:
            await self._tell(AuditResult.STARTED, adjustments, difference_nano_usd, "to be appended")

    async def done(self, adjustments: int, difference_nano_usd: int) -> None:
        """All that was missing is on the log."""
        what = "appended after an interruption" if self.is_resumed else "appended"
        await self._tell(AuditResult.DONE, adjustments, difference_nano_usd, what)

    async def _tell(self, result: AuditResult, adjustments: int, difference_nano_usd: int, what: str) -> None:
        difference_usd = format_usd(difference_nano_usd)
        figures = {"adjustments": str(adjustments), "difference_usd": difference_usd}
        action = Action(self.action_id, ACTION, SUBJECT, self.attributes | figures)
        detail = f"{adjustments} adjustments {what}, difference {difference_usd} USD"
        await self.audit.tell(action, result, detail)


async def correction(audit: Audit, prices: Prices, scope: Scope, reason: str) -> Correction:
    """The one of these prices and this scope that was interrupted, else the next."""
    told = await audit.told()
    meant = {name: str(value) for name, value in asdict(scope).items() if value is not None}
    stream = f"reprice/{prices.name}/{sorted(meant.items())}"
    number = 1
    while (known := told.get(action_id := derived_id(stream, number))) is not None and known.has_ended:
        number += 1
    attributes = meant | {"prices": prices.name, "reason": reason}
    return Correction(audit, action_id, known is not None, reason, attributes)
