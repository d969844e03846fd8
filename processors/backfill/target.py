"""What is filled: tables of the history, its rollups, or both. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from events.catalogue import TOPICS
from projections.history.tables import table_name

HISTORY, ROLLUPS = "history", "rollups"
_TOPIC_OF_TABLE = {table_name(topic): topic for topic in TOPICS}
_OF_NOBODY = ("alerts", "audit", "dead-letters")
"""Topics whose events name no provider."""

_ELSEWHERE = {
    "live": "a fold has no part that can be filled alone: `interlock rebuild live` folds the live state anew, and traffic goes on",
    "analytics": "documents of a part of the time cannot be made alone, for a sink would add to them meanwhile: "
    "`interlock rebuild analytics` makes all of them anew beside the live ones",
}


class NoTargetError(ValueError):
    """What was named cannot be filled; the message says what can, or what to do instead."""


@dataclass(frozen=True, slots=True)
class Target:
    """`topics` are those whose tables are filled; `rollups`: sums of usage are made anew."""

    name: str
    topics: tuple[str, ...]
    rollups: bool


def target_of(text: str, *, of_provider: bool = False) -> Target:
    """`history`, `history.<table>` or `rollups`; NoTargetError. `of_provider`: only events of one provider are meant."""
    store, _, table = text.partition(".")
    if store in _ELSEWHERE:
        raise NoTargetError(_ELSEWHERE[store])
    if text == ROLLUPS:
        return Target(text, (), rollups=True)
    if text == HISTORY:
        topics = tuple(topic for topic in TOPICS if topic not in _OF_NOBODY or not of_provider)
        return Target(text, topics, rollups=True)
    topic = _TOPIC_OF_TABLE.get(table)
    if store != HISTORY or topic is None:
        raise NoTargetError(
            f"{text!r} is nothing that can be filled: name {HISTORY}, {ROLLUPS}, or a table as "
            f"{', '.join(f'{HISTORY}.{name}' for name in sorted(_TOPIC_OF_TABLE))}"
        )
    if of_provider and topic in _OF_NOBODY:
        raise NoTargetError(f"events of {table} name no provider: leave out --provider")
    return Target(text, (topic,), rollups=topic == "usage")
