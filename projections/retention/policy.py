"""Policies of retention: what is kept how long of each store, written in YAML."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from annotated_types import Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from events.catalogue import TOPICS
from projections.retention.amounts import age_us, size_bytes
from projections.retention.columns import check
from projections.retention.condition import Condition, ConditionError, parse
from projections.retention.glob import matches

STATE_TOPICS = frozenset({"overrides", "providers", "budgets"})
"""What was set by operators and stands until it is set anew, however old: kept for ever."""

ROLLED_UP = "usage"
"""The topic whose rows are summed in rollups."""


class Store(StrEnum):
    """Where data lies."""

    HISTORY = "history"
    REFUSED = "refused"
    ROLLUPS = "rollups"
    ARCHIVE = "archive"
    LOG = "log"
    EXPORTS = "exports"
    LEFTOVERS = "leftovers"


class Action(StrEnum):
    """What is done with what a policy no longer keeps."""

    DELETE = "delete"
    ARCHIVE = "archive"
    COMPRESS = "compress"
    AGGREGATE_THEN_DELETE = "aggregate_then_delete"
    EXPORT = "export"


class Precision(StrEnum):
    """How exactly a limit is kept: by whole months, or by the row."""

    MONTH = "month"
    ROW = "row"


ACTIONS: dict[Store, frozenset[Action]] = {
    Store.HISTORY: frozenset(Action),
    Store.REFUSED: frozenset({Action.DELETE}),
    Store.ROLLUPS: frozenset({Action.DELETE}),
    Store.ARCHIVE: frozenset({Action.DELETE, Action.COMPRESS}),
    Store.LOG: frozenset({Action.DELETE}),
    Store.EXPORTS: frozenset({Action.DELETE}),
    Store.LEFTOVERS: frozenset({Action.DELETE}),
}
_BY_TOPIC = frozenset({Store.HISTORY, Store.REFUSED, Store.ARCHIVE, Store.LOG})
_LIMITS: dict[Store, frozenset[str]] = {
    Store.HISTORY: frozenset({"older_than", "larger_than", "more_than"}),
    Store.REFUSED: frozenset({"older_than"}),
    Store.ROLLUPS: frozenset({"older_than"}),
    Store.ARCHIVE: frozenset({"older_than", "larger_than", "more_than"}),
    Store.LOG: frozenset({"older_than", "more_than"}),
    Store.EXPORTS: frozenset({"older_than"}),
    Store.LEFTOVERS: frozenset({"older_than"}),
}


def _glob(text: str) -> str:
    if "[" in text or "\0" in text:
        raise ValueError("a pattern knows * and ? only")
    return text


Glob = Annotated[str, AfterValidator(_glob)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hold(_Model):
    """Nothing of these topics and tenants goes, whatever a policy says, for as long as this stands here."""

    topics: Annotated[tuple[Glob, ...], Len(1)]
    tenants: Annotated[tuple[Glob, ...], Len(1)] = ("*",)
    reason: Annotated[str, Len(1, 300)]


class Policy(_Model):
    """What goes of one store, and how. Exactly one limit, or for the history a condition alone."""

    name: Name
    store: Store
    action: Action
    topics: Annotated[tuple[Glob, ...], Len(1)] = ("*",)
    tenants: Annotated[tuple[Glob, ...], Len(1)] = ("*",)
    except_tenants: tuple[Glob, ...] = ()
    older_than: Annotated[
        int | None, BeforeValidator(lambda text: None if text is None else age_us(text))
    ] = None
    larger_than: Annotated[
        int | None, BeforeValidator(lambda text: None if text is None else size_bytes(text))
    ] = None
    more_than: Annotated[int | None, Field(ge=0)] = None
    where: Annotated[str | None, Len(1)] = None
    precision: Precision = Precision.MONTH

    @field_validator("topics")
    @classmethod
    def _topics_exist(cls, globs: tuple[str, ...]) -> tuple[str, ...]:
        for glob in globs:
            if not any(matches((glob,), topic) for topic in TOPICS):
                raise ValueError(f"no topic is named {glob!r}; there are {', '.join(TOPICS)}")
            if glob in STATE_TOPICS:
                raise ValueError(f"{glob} is kept for ever: what stands there is in force however old it is")
        return globs

    @model_validator(mode="after")
    def _fits_its_store(self) -> Self:
        if self.action not in ACTIONS[self.store]:
            able = ", ".join(sorted(ACTIONS[self.store]))
            raise ValueError(f"action {self.action} is not for the store {self.store}, which knows {able}")
        given = [
            name for name in ("older_than", "larger_than", "more_than") if getattr(self, name) is not None
        ]
        if len(given) > 1 or (not given and self.where is None):
            raise ValueError("say exactly one of older_than, larger_than and more_than, or `where` alone")
        if given and given[0] not in _LIMITS[self.store]:
            able = ", ".join(sorted(_LIMITS[self.store]))
            raise ValueError(f"{given[0]} is not for the store {self.store}, which knows {able}")
        if self.topics != ("*",) and self.store not in _BY_TOPIC:
            raise ValueError(f"the store {self.store} is not divided by topic: leave `topics` out")
        if self.store is not Store.HISTORY and (self.filters or self.precision is Precision.ROW):
            raise ValueError(
                f"tenants, except_tenants, where and precision are for the history, not for {self.store}"
            )
        return self

    @model_validator(mode="after")
    def _fits_its_rows(self) -> Self:
        if self.larger_than is not None and (self.filters or self.precision is Precision.ROW):
            raise ValueError("larger_than goes by whole months: leave tenants, where and precision out")
        if self.more_than is not None and self.filters and self.precision is Precision.MONTH:
            raise ValueError("more_than of some rows is counted row by row: add `precision: row`")
        if self.action is Action.AGGREGATE_THEN_DELETE and set(self.chosen_topics) != {ROLLED_UP}:
            raise ValueError(
                f"aggregate_then_delete needs rollups, and only {ROLLED_UP} has them: topics: [usage]"
            )
        if self.action is Action.COMPRESS and (self.filters or self.precision is Precision.ROW):
            raise ValueError(
                "compress goes by whole months and segments: leave tenants, where and precision out"
            )
        if self.where is not None:
            try:
                check(parse(self.where), self.chosen_topics)
            except ConditionError as error:
                raise ValueError(f"where: {error}") from None
        return self

    @property
    def filters(self) -> bool:
        """Whether it takes some rows of a month and leaves others, beside their age."""
        return "*" not in self.tenants or bool(self.except_tenants) or self.where is not None

    @property
    def condition(self) -> Condition | None:
        return None if self.where is None else parse(self.where)

    @property
    def chosen_topics(self) -> tuple[str, ...]:
        """Short names of the topics it is for, in the catalogue's order."""
        return tuple(topic for topic in TOPICS if topic not in STATE_TOPICS and matches(self.topics, topic))


class Policies(_Model):
    """A whole file. Where two policies want the same month or file, the one that stands first decides."""

    version: Literal[1]
    holds: tuple[Hold, ...] = ()
    policies: tuple[Policy, ...] = ()

    @field_validator("policies")
    @classmethod
    def _names_differ(cls, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        names = [policy.name for policy in policies]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two policies are named {', '.join(twice)}: give each a name of its own")
        return policies

    def of(self, store: Store) -> Iterable[Policy]:
        """Those of one store, in order."""
        return (policy for policy in self.policies if policy.store is store)

    def held_tenants(self, topic: str) -> tuple[str, ...]:
        """Patterns of the tenants whose data of the topic must stay."""
        return tuple(tenant for hold in self.holds if matches(hold.topics, topic) for tenant in hold.tenants)


Raw = dict[str, Any]
"""A file as YAML gives it."""
