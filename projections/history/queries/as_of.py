"""How breakers and providers stood at an instant, folded from what the history holds by the code that folds the log.

Breakers by the time of their transitions, settings by the time of their changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

from events.breaker_transitioned import BreakerTransitioned
from events.catalogue import TOPICS, Topic
from events.codec import from_record
from events.envelope import Event
from events.provider_changed import ProviderChanged
from projections.history.queries.page import COLUMNS
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader, Row
from projections.live import breaker as breakers
from projections.live import provider as provider_settings
from projections.live.breaker import Breaker
from projections.live.provider import ProviderSettings

_BREAKERS = TOPICS["breakers"]
_PROVIDERS = TOPICS["providers"]


@dataclass(frozen=True, slots=True)
class DeploymentName:
    """`provider/model[@region]`; only the first slash divides, and where the region begins the rows know."""

    provider: str
    rest: str

    @classmethod
    def parse(cls, deployment: str) -> DeploymentName:
        """The two parts; a name without a slash has an empty rest, which is no model."""
        provider, _, rest = deployment.partition("/")
        return cls(provider, rest)

    def ask(self, question: Question) -> None:
        """Only rows of this deployment."""
        question.equal({"provider": self.provider})
        question.conditions.append(
            f"model || case when region <> '' then '@' || region else '' end = {question.bind(self.rest)}"
        )


def event_of(topic: Topic, row: Row) -> Event:
    """The event that a row was made of."""
    return from_record(topic, {field.name: row[field.name] for field in fields(topic.event)})


async def settings_as_of(
    history: HistoryReader, at_us: int, names: Collection[str] | None = None
) -> dict[str, ProviderSettings]:
    """Providers that were set by then; all, or those of the names."""
    question = Question()
    question.conditions.append(f"occurred_at <= {question.bind(at_us)}")
    if names is not None:
        question.conditions.append(f"provider = any({question.bind(list(names))})")
    rows = await history.rows(
        f"select {listed(COLUMNS['providers'])} from providers {question.where} "
        "order by provider, appended_at, log_partition, log_offset",
        question.arguments,
    )
    found: dict[str, ProviderSettings] = {}
    for row in rows:
        event = event_of(_PROVIDERS, row)
        assert isinstance(event, ProviderChanged)
        known = found.get(event.provider) or provider_settings.initial(event.provider)
        found[event.provider] = provider_settings.evolve(known, event)
    return found


async def breakers_as_of(
    history: HistoryReader,
    at_us: int,
    *,
    deployment: DeploymentName | None = None,
    providers: Collection[str] | None = None,
) -> dict[str, Breaker]:
    """Breakers that had moved by then, by name; all, or that of one deployment, or those of some providers.

    A transition carries all that its fold needs, so the last one tells the whole state. The gates are left as they
    begin: they are folds of the outcomes.
    """
    question = Question()
    question.conditions.append(f"occurred_at <= {question.bind(at_us)}")
    if deployment is not None:
        deployment.ask(question)
    if providers is not None:
        question.conditions.append(f"provider = any({question.bind(list(providers))})")
    rows = await history.rows(
        f"select distinct on (provider, model, coalesce(region, '')) {listed(COLUMNS['breakers'])} from breakers "
        f"{question.where} order by provider, model, coalesce(region, ''), version desc",
        question.arguments,
    )
    settings = await settings_as_of(history, at_us, {row["provider"] for row in rows}) if rows else {}
    found: dict[str, Breaker] = {}
    for row in rows:
        event = event_of(_BREAKERS, row)
        assert isinstance(event, BreakerTransitioned)
        before = breakers.initial(
            event.provider, event.model, event.region, settings=settings.get(event.provider)
        )
        found[event.deployment] = breakers.evolve(replace(before, version=event.version - 1), event)
    return found
