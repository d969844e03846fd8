"""What a tenant could have paid less, as the API shows it."""

from __future__ import annotations

from pydantic import Field

from api.resources.analytics_figures import Figure, at_edge
from api.resources.values import TimeOut, UsdOut, View
from api.rfc3339 import format_time_us
from events.money import format_usd
from projections.analytics.questions import Savings
from projections.analytics.savings import Saving


class SavingView(View):
    """One thing that could be done."""

    kind: str = Field(examples=["cheaper_model"])
    deployment: str | None = Field(description="What is paid for now; null: all together.")
    instead: str | None = Field(description="What could be asked instead.")
    paid_usd: UsdOut
    estimate_usd: UsdOut = Field(description="What it would have saved. Estimates overlap: do not add them.")
    says: str
    evidence: dict[str, Figure]


class SavingsView(View):
    """What a tenant could have paid less."""

    tenant: str
    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")
    calls: int
    paid_usd: UsdOut
    savings: list[SavingView] = Field(description="The largest estimate first.")
    complete: bool = Field(description="False: there were more documents than are read for one answer.")


def savings_view(tenant: str, found: Savings) -> SavingsView:
    """The view of what could be saved."""
    return SavingsView(
        tenant=tenant,
        start=format_time_us(found.from_us),
        end=format_time_us(found.to_us),
        calls=found.calls,
        paid_usd=format_usd(found.cost_nano_usd),
        savings=[_saving(one) for one in found.savings],
        complete=found.complete,
    )


def _saving(one: Saving) -> SavingView:
    return SavingView(
        kind=one.kind,
        deployment=None if one.served is None else str(one.served),
        instead=None if one.instead is None else str(one.instead),
        paid_usd=format_usd(one.paid_nano_usd),
        estimate_usd=format_usd(one.estimate_nano_usd),
        says=one.says,
        evidence=at_edge(one.evidence),
    )
