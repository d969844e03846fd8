"""What is unusual about a tenant's window, as the API shows it."""

from __future__ import annotations

from pydantic import Field

from api.resources.analytics_figures import NANO, Figure, at_edge
from api.resources.values import TimeOut, UsdOut, View
from api.rfc3339 import format_time_us
from events.money import format_usd
from projections.analytics.anomalies import Anomaly
from projections.analytics.measures import sums_of
from projections.analytics.questions import Anomalies
from projections.analytics.windows import US

CONTRIBUTORS = 3


class AnomalyView(View):
    """A figure that is far from what was to be expected."""

    measure: str = Field(examples=["cost_usd"])
    value: Figure
    expected: Figure = Field(description="Median of the past.")
    score: float = Field(description="How many deviations of the past it lies away.")
    factor: float = Field(description="How many times the expected it is.")
    peers: int = Field(description="Other tenants that could be compared.")
    peers_factor: float | None = Field(description="The same factor of the median peer.")
    shared: bool = Field(description="Whether peers went the same way: then it is not the tenant's own.")
    says: str


class ContributorView(View):
    """A part of the window, by what it cost."""

    user: str
    provider: str
    model: str
    calls: int
    failures: int
    cost_usd: UsdOut


class AnomaliesView(View):
    """A tenant's window against its own past and its peers."""

    tenant: str
    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")
    calls: int
    judged: bool = Field(description="False: too little of a past to tell.")
    past_windows: int
    compared: str = Field(description="With which windows of the past.")
    peers: int
    anomalies: list[AnomalyView]
    contributors: list[ContributorView] = Field(description="The most expensive parts of the window.")
    complete: bool = Field(description="False: there were more documents than are read for one answer.")


def anomalies_view(tenant: str, length_s: int, found: Anomalies) -> AnomaliesView:
    """The view of a judged window."""
    compared = found.comparison
    return AnomaliesView(
        tenant=tenant,
        start=format_time_us(found.start_us),
        end=format_time_us(found.start_us + length_s * US),
        calls=compared.calls,
        judged=compared.judged,
        past_windows=compared.past_windows,
        compared=compared.compared,
        peers=compared.peers,
        anomalies=[_anomaly(one) for one in compared.anomalies],
        contributors=_contributors(found),
        complete=found.complete,
    )


def _anomaly(one: Anomaly) -> AnomalyView:
    [(measure, value)] = at_edge({one.measure: _figure(one.measure, one.value)}).items()
    [(_, expected)] = at_edge({one.measure: _figure(one.measure, one.expected)}).items()
    peers = (
        "no other tenant could be compared"
        if one.peers_factor is None
        else f"the median of {one.peers} other tenants went {one.peers_factor:.2f} times"
    )
    return AnomalyView(
        measure=measure,
        value=value,
        expected=expected,
        score=round(one.score, 2),
        factor=round(one.factor, 4),
        peers=one.peers,
        peers_factor=None if one.peers_factor is None else round(one.peers_factor, 4),
        shared=one.shared,
        says=f"{measure} is {value}, {one.factor:.2f} times the usual {expected} ({abs(one.score):.1f} deviations); {peers}",
    )


def _figure(measure: str, value: float) -> float:
    return round(value) if measure.endswith(NANO) else round(value, 6)


def _contributors(found: Anomalies) -> list[ContributorView]:
    ranked = sorted(
        found.documents, key=lambda one: (-int(one.metadata["cost_nano_usd"]), -sums_of(one)["calls"], one.id)
    )
    return [
        ContributorView(
            user=str(one.metadata["user"]),
            provider=str(one.metadata["provider"]),
            model=str(one.metadata["model"]),
            calls=int(one.metadata["calls"]),
            failures=int(one.metadata["failures"]),
            cost_usd=format_usd(int(one.metadata["cost_nano_usd"])),
        )
        for one in ranked[:CONTRIBUTORS]
    ]
