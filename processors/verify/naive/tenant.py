"""The naive fold of a tenant slot: spend, budgets, routing, and the alerts that are on the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.alert_raised import AlertKind, AlertRaised
from events.budget_changed import BudgetChanged
from events.codec import Codec
from events.envelope import Event
from events.routing_decided import RoutingDecided
from events.settings import LogSettings
from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded
from processors.verify.naive.settings import route, set_budget
from processors.verify.naive.slot import Documents, NaiveSlot
from processors.verify.naive.spend import Spending

MOST_ALERTS = 4096


class NaiveTenantSlot(NaiveSlot):
    """One partition of usage, adjustments, budgets and routing."""

    topics = ("usage", "adjustments", "budgets", "routing")
    derived = "alerts"
    indexed = frozenset({"budgets"})
    kinds = ("spend", "budgets", "routing", "raised")

    def __init__(self, codec: Codec, settings: LogSettings) -> None:
        super().__init__(codec, settings)
        self._spending = Spending()
        self._budgets: Documents = {}
        self._routing: Documents = {}
        self._raised: dict[str, dict[str, tuple[int, bool]]] = {}

    def _fold(self, topic: str, event: Event, _offset: int) -> None:
        match event:
            case UsageRecorded() | SpendAdjusted():
                self._spending.add(event)
            case BudgetChanged():
                set_budget(self._budgets, event)
            case RoutingDecided():
                route(self._routing, event)
            case _:
                raise AssertionError(f"{topic} holds {type(event).__name__}")

    def decided(self, events: Iterable[tuple[Event, bool]]) -> None:
        """Alerts of budgets; those about providers lie between them."""
        self._raised = {}
        for event, is_sure in events:
            if isinstance(event, AlertRaised) and event.kind is AlertKind.BUDGET_THRESHOLD:
                held = self._raised.setdefault(event.tenant, {})
                held.setdefault(event.event_id, (event.period_end or 0, is_sure))

    def came_to(self, next_offsets: Mapping[str, int]) -> None:
        """Nothing of it depends on where the topics are."""

    def _documents(self, kind: str) -> Documents:
        match kind:
            case "spend":
                return self._spending.sums  # type: ignore[return-value] # spelled as a document when it is asked for
            case "budgets":
                return self._budgets
            case "routing":
                return self._routing
            case _:
                return {
                    tenant: {}
                    for tenant, held in self._raised.items()
                    if any(sure for _, sure in held.values())
                }

    def _document(self, kind: str, name: str, live: Any) -> Any:
        match kind:
            case "spend":
                return self._spending.document(name) if name in self._spending.sums else None
            case "raised":
                return self._raised_in(name, live)
            case _:
                return super()._document(kind, name, live)

    def _raised_in(self, tenant: str, live: Any) -> Any:
        held = live.get("period_ends") if isinstance(live, dict) else None
        known = held if isinstance(held, dict) else {}
        ends = [
            (end, alert)
            for alert, (end, is_sure) in self._raised.get(tenant, {}).items()
            if is_sure or alert in known
        ]
        newest = sorted(ends)[-MOST_ALERTS:]
        return {"tenant": tenant, "period_ends": {alert: end for end, alert in newest}} if newest else None
