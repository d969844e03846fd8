"""How breakers and providers stood at an instant, folded from what the history holds by the code that folds the log.

Transitions and settings count by the time that they state (`occurred_at`): a breaker that says "open since 14:05:00.2"
was open as of 14:05:00.2.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

from events.breaker_transitioned import BreakerTransitioned
from events.catalogue import TOPICS, Topic
from events.codec import from_record
from events.envelope import Event, deployment_name
from events.provider_changed import ProviderChanged
from projections.history.queries.gates_as_of import with_gates
from projections.history.queries.page import COLUMNS
from projections.history.queries.question import Question, listed
from projections.history.queries.reader import HistoryReader, Row
from projections.history.queries.scope import ALL, Scope
from projections.live import breaker as breakers
from projections.live import provider as provider_settings
from projections.live.breaker import Breaker
from projections.live.provider import ProviderSettings

_BREAKERS = TOPICS["breakers"]
_PROVIDERS = TOPICS["providers"]


def event_of(topic: Topic, row: Row) -> Event:
    """The event that a row was made of."""
    return from_record(topic, {field.name: row[field.name] for field in fields(topic.event)})


async def settings_as_of(
    history: HistoryReader, at_us: int, names: Collection[str]
) -> dict[str, ProviderSettings]:
    """The settings of these providers, as far as they were set by then."""
    rows = await history.rows(
        f"select {listed(COLUMNS['providers'])} from providers where occurred_at <= $1 and provider = any($2) "
        "order by provider, appended_at, log_partition, log_offset",
        [at_us, list(names)],
    )
    found: dict[str, ProviderSettings] = {}
    for row in rows:
        event = event_of(_PROVIDERS, row)
        assert isinstance(event, ProviderChanged)
        known = found.get(event.provider) or provider_settings.initial(event.provider)
        found[event.provider] = provider_settings.evolve(known, event)
    return found


async def breakers_as_of(history: HistoryReader, at_us: int, scope: Scope = ALL) -> dict[str, Breaker]:
    """Breakers of which an outcome or a transition was known by then, by name."""
    known = await _known(history, at_us, scope)
    settings = await settings_as_of(history, at_us, {provider for provider, _, _ in known}) if known else {}
    begun = {
        deployment_name(*name): breakers.initial(*name, settings=settings.get(name[0])) for name in known
    }
    for event in await _last_transitions(history, at_us, scope):
        # A transition carries all that its fold needs, so the last one tells what all before it led to.
        before = replace(begun[event.deployment], version=event.version - 1)
        begun[event.deployment] = breakers.evolve(before, event)
    return {name: await with_gates(history, breaker, at_us) for name, breaker in sorted(begun.items())}


async def _known(history: HistoryReader, at_us: int, scope: Scope) -> set[tuple[str, str, str | None]]:
    question = Question()
    question.conditions.append(f"occurred_at <= {question.bind(at_us)}")
    scope.ask(question)
    rows = await history.rows(
        f"select provider, model, nullif(region, '') as region from outcomes {question.where} "
        f"union select provider, model, nullif(region, '') from breakers {question.where}",
        question.arguments,
    )
    return {(row["provider"], row["model"], row["region"]) for row in rows}


async def _last_transitions(history: HistoryReader, at_us: int, scope: Scope) -> list[BreakerTransitioned]:
    question = Question()
    question.conditions.append(f"occurred_at <= {question.bind(at_us)}")
    scope.ask(question)
    rows = await history.rows(
        f"select distinct on (provider, model, coalesce(region, '')) {listed(COLUMNS['breakers'])} from breakers "
        f"{question.where} order by provider, model, coalesce(region, ''), version desc",
        question.arguments,
    )
    events = [event_of(_BREAKERS, row) for row in rows]
    return [event for event in events if isinstance(event, BreakerTransitioned)]
