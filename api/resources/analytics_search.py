"""What documents of the analytics are searched for, and those that are found."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from annotated_types import Interval, MaxLen, MinLen
from pydantic import Field, model_validator

from api.resources.analytics_figures import NANO, USD, at_edge
from api.resources.values import Body, Time, TimeOut, View
from api.rfc3339 import format_time_us, parse_time_us
from events.envelope import Name
from events.money import parse_usd
from projections.analytics.chroma import Found
from projections.analytics.documents import COST, PERFORMANCE, ROUTING, STATES, USAGE
from projections.analytics.filters import FIELDS, BadConditionError, Comparison, Condition
from projections.analytics.search import Wanted
from projections.analytics.windows import US


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
        fields=at_edge({name: found.metadata[name] for name in sorted(shown)}),
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
