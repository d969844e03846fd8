"""What is filled: tables of the history, its rollups, or both; or collections of the analytics. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from events.catalogue import TOPICS
from projections.analytics.documents import COLLECTIONS
from projections.history.rollups import TALLIES
from projections.history.tables import table_name

HISTORY, ROLLUPS, ANALYTICS = "history", "rollups", "analytics"
_COLLECTIONS = {f"{ANALYTICS}.{name}": (name,) for name in COLLECTIONS} | {ANALYTICS: COLLECTIONS}
_TOPIC_OF_TABLE = {table_name(topic): topic for topic in TOPICS}
_OF_NOBODY = ("alerts", "audit", "dead-letters")
"""Topics whose events name no provider."""

_LIVE = "a fold has no part that can be filled alone: `interlock rebuild live` folds the live state anew, and traffic goes on"


class NoTargetError(ValueError):
    """What was named cannot be filled; the message says what can, or what to do instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """`topics` are those whose tables are filled, `rolled_up` those whose sums are made anew."""

    name: str
    topics: tuple[str, ...]
    rolled_up: tuple[str, ...]


def target_of(text: str, *, of_provider: bool = False) -> Target:
    """`history`, `history.<table>` or `rollups`; NoTargetError. `of_provider`: only events of one provider are meant."""
    store, _, table = text.partition(".")
    if store == "live":
        raise NoTargetError(_LIVE)
    if text == ROLLUPS:
        return Target(text, (), tuple(TALLIES))
    if text == HISTORY:
        topics = tuple(topic for topic in TOPICS if topic not in _OF_NOBODY or not of_provider)
        return Target(text, topics, tuple(TALLIES))
    topic = _TOPIC_OF_TABLE.get(table)
    if store != HISTORY or topic is None:
        raise NoTargetError(
            f"{text!r} is nothing that can be filled: name {HISTORY}, {ROLLUPS}, {ANALYTICS}, a table or a collection as "
            f"{', '.join([*(f'{HISTORY}.{name}' for name in sorted(_TOPIC_OF_TABLE)), *_COLLECTIONS])}"
        )
    if of_provider and topic in _OF_NOBODY:
        raise NoTargetError(f"events of {table} name no provider: leave out --provider")
    return Target(text, (topic,), (topic,) if topic in TALLIES else ())


def collections_of(text: str) -> tuple[str, ...]:
    """Of `analytics` or `analytics.<collection>`; none when something else is named."""
    return _COLLECTIONS.get(text, ())
