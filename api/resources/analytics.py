"""What the analytics answer, as the API shows it. Money is a decimal string, also where it is a figure among others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Interval, MaxLen, MinLen
from pydantic import Field, model_validator

from api.resources.values import Body, Time, TimeOut, UsdOut, View
from api.rfc3339 import format_time_us, parse_time_us
from events.envelope import Name
from events.money import format_usd, parse_usd
from projections.analytics.anomalies import Anomaly
from projections.analytics.chroma import Found
from projections.analytics.documents import COST, PERFORMANCE, ROUTING, STATES, USAGE
from projections.analytics.filters import FIELDS, BadConditionError, Comparison, Condition
from projections.analytics.incidents import Incident, State
from projections.analytics.measures import sums_of
from projections.analytics.questions import Anomalies, Savings, SimilarIncidents
from projections.analytics.savings import Saving
from projections.analytics.search import Wanted
from projections.analytics.windows import US

NANO, USD = "_nano_usd", "_usd"
CONTRIBUTORS = 3

Figure = Annotated[float | str, Field(description="A number; of money a decimal string of US dollars.")]


class Collection(StrEnum):
    """Which documents."""

    USAGE_PATTERNS = USAGE
    COST_OPTIMIZATION = COST
    PERFORMANCE_METRICS = PERFORMANCE
    ROUTING_PATTERNS = ROUTING
    PROVIDER_STATES = STATES


class ConditionBody(Body):
    """One comparison of a document's field."""

    field: Annotated[str, MinLen(1), MaxLen(64)] = Field(
        description="A field of the documents, as an answer shows it.", examples=["error_rate"]
    )
    comparison: Comparison = Field(Comparison.EQ, description="Texts take only eq and ne.")
    value: Annotated[str, MaxLen(256)] | int | float = Field(
        description="Of a field `*_usd`: a decimal string.", examples=[0.05]
    )


class SearchBody(Body):
    """What to search for: `text`, or `like` the document of that id."""

    collection: Collection = Field(Collection.USAGE_PATTERNS, description="Where to search.")
    text: Annotated[str, MinLen(1), MaxLen(1000)] | None = Field(
        None, description="Words: names, outcomes, what stands out.", examples=["slow failing openai"]
    )
    like: Annotated[str, MinLen(1), MaxLen(64)] | None = Field(None, description="Id of a document.")
    tenant: Name | None = Field(None, description="Only of this tenant.")
    user: Name | None = Field(None, description="Only of this user.")
    provider: Name | None = Field(None, description="Only of this provider.")
    model: Name | None = Field(None, description="Only of this model.")
    start: Time | None = Field(None, alias="from", description="Only windows that start then or later.")
    end: Time | None = Field(None, alias="to", description="Only windows that start before.")
    conditions: Annotated[list[ConditionBody], MaxLen(20)] = Field([], description="All have to hold.")
    limit: Annotated[int, Interval(ge=1, le=100)] = Field(10, description="Most documents.")

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchBody:
        if (self.text is None) == (self.like is None):
            raise ValueError("give either text or like")
        return self

    def wanted(self) -> Wanted:
        """What is asked of the library; BadConditionError for a condition that cannot be meant."""
        return Wanted(
            self.collection,
            self.text,
            self.like,
            self.tenant,
            self.user,
            self.provider,
            self.model,
            None if self.start is None else parse_time_us(self.start),
            None if self.end is None else parse_time_us(self.end),
            tuple(_condition(self.collection, index, one) for index, one in enumerate(self.conditions)),
            self.limit,
        )


class DocumentView(View):
    """One document: a window of time, told."""

    id: str
    likeness: float = Field(description="1: the same; 0: nothing in common. To be compared within an answer.")
    start: TimeOut = Field(serialization_alias="from")
    end: TimeOut = Field(serialization_alias="to")
    text: str
    fields: dict[str, str | int | float] = Field(description="What it may be filtered by.")


class SearchView(View):
    """The documents that were found, nearest first."""

    collection: Collection
    vectors: str = Field(description="How the vectors are made.", examples=["features-1"])
    documents: list[DocumentView]


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


class StateView(View):
    """A provider in one window."""

    provider: str
    start: TimeOut = Field(serialization_alias="from")
    calls: int
    failure_rate: float
    mean_ms: int
    outcomes: dict[str, int] = Field(description="Calls that were no success, by outcome.")
    failing: bool


class StepView(View):
    """A window after that."""

    after_s: int
    calls: int
    failure_rate: float
    opened_breakers: int
    unhealthy_checks: int


class IncidentView(View):
    """A past state like the one now, and what followed."""

    id: str
    likeness: float
    state: StateView
    recovered_after_s: int | None = Field(description="Null: not within the time looked at.")
    opened_breakers: int
    worst_failure_rate: float
    followed: list[StepView]


class SimilarIncidentsView(View):
    """A provider's newest state, and past ones like it."""

    state: StateView
    incidents: list[IncidentView] = Field(description="Most alike first, at least `follow_s` apart.")
    recovered: int = Field(description="How many of them got well in the time looked at.")
    median_recovery_s: float | None
    opened_breakers: int = Field(description="After how many of them a breaker opened.")


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


def document_view(collection: Collection, found: Found) -> DocumentView:
    """The view of a document; what it keeps for its own sake stays inside."""
    start_us, length_s = int(found.metadata["window_us"]), int(found.metadata["window_s"])
    shown = FIELDS[collection].keys() - {"window_us"}
    return DocumentView(
        id=found.id,
        likeness=round(1.0 - found.distance, 6),
        start=format_time_us(start_us),
        end=format_time_us(start_us + length_s * US),
        text=found.text,
        fields=_edge({name: found.metadata[name] for name in sorted(shown)}),
    )


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


def similar_incidents_view(found: SimilarIncidents) -> SimilarIncidentsView:
    """The view of what the past says of now."""
    return SimilarIncidentsView(
        state=_state(found.state),
        incidents=[_incident(one) for one in found.incidents],
        recovered=found.outlook.recovered,
        median_recovery_s=found.outlook.median_recovery_s,
        opened_breakers=found.outlook.opened_breakers,
    )


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


def _condition(collection: Collection, index: int, body: ConditionBody) -> Condition:
    inside = body.field.removesuffix(USD) + NANO
    if not body.field.endswith(USD) or inside not in FIELDS[collection]:
        if body.field.endswith(NANO) or body.field == "window_us":
            raise BadConditionError(index, "money is compared as *_usd, time with from and to")
        return Condition(body.field, body.comparison, body.value)
    try:
        return Condition(inside, body.comparison, parse_usd(str(body.value)))
    except ValueError as error:
        raise BadConditionError(index, str(error)) from None


def _edge(values: Mapping[str, Any]) -> dict[str, Any]:
    """Money as it is written at the edge."""
    return {
        name.removesuffix(NANO) + USD if name.endswith(NANO) else name: (
            format_usd(int(value)) if name.endswith(NANO) else value
        )
        for name, value in values.items()
    }


def _anomaly(one: Anomaly) -> AnomalyView:
    [(measure, value)] = _edge({one.measure: _figure(one.measure, one.value)}).items()
    [(_, expected)] = _edge({one.measure: _figure(one.measure, one.expected)}).items()
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


def _state(state: State) -> StateView:
    return StateView(
        provider=state.provider,
        start=format_time_us(state.start_us),
        calls=state.calls,
        failure_rate=round(state.failure_rate, 6),
        mean_ms=state.mean_ms,
        outcomes=state.symptoms,
        failing=state.failing,
    )


def _incident(one: Incident) -> IncidentView:
    return IncidentView(
        id=one.id,
        likeness=round(one.likeness, 6),
        state=_state(one.state),
        recovered_after_s=one.recovered_after_s,
        opened_breakers=one.opened,
        worst_failure_rate=round(one.worst_failure_rate, 6),
        followed=[
            StepView(
                after_s=step.after_s,
                calls=step.calls,
                failure_rate=round(step.failure_rate, 6),
                opened_breakers=step.opened,
                unhealthy_checks=step.unhealthy_checks,
            )
            for step in one.steps
        ],
    )


def _saving(one: Saving) -> SavingView:
    return SavingView(
        kind=one.kind,
        deployment=None if one.served is None else str(one.served),
        instead=None if one.instead is None else str(one.instead),
        paid_usd=format_usd(one.paid_nano_usd),
        estimate_usd=format_usd(one.estimate_nano_usd),
        says=one.says,
        evidence=_edge(one.evidence),
    )
