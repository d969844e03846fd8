"""What an event says of places in the old log, said of the new one. Pure: where things have come to lie is asked of `Whereabouts`.

Everything else of an event stays, and an event that names no place is not changed at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from events.action_audited import ActionAudited
from events.alert_raised import AlertKind, AlertRaised
from events.breaker_transitioned import BreakerTransitioned, TransitionCause
from events.carried import Place, carried_id, in_log
from events.dead_lettered import DeadLettered, LetterStatus
from events.dead_letters import letter_id_of, part_id_of
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.routing_decided import RoutingDecided
from events.settings import LogSettings
from projections.retention.audit import SOURCE as RETENTION

TRANSLATED = frozenset({"outcomes", "breakers", "alerts", "dead-letters", "routing", "audit"})
"""Topics whose events may name places."""

OF_OPERATORS = frozenset({TransitionCause.OVERRIDE_SET, TransitionCause.OVERRIDE_CLEARED})
"""Transitions that an override has caused, whose id stays; all others are caused by outcomes."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where records of the old log lie in the new one.

    `record` is asked by a topic's short name and an old place; None when the old log has no record there.
    `outcomes` is asked by an offset of the old outcomes partition that a transition belongs to, and answers in the new one.
    """

    old: LogSettings
    new: LogSettings
    record: Callable[[str, Place], Place | None]
    outcomes: Callable[[int], int]


def translated(event: Event, where: Whereabouts) -> Event:
    """The event as it is in the new log. Ids that name places are other ones there: a log may give the same to its own events."""
    prefix = where.old.topic_prefix
    match event:
        case OutcomesObserved():
            return replace(
                event,
                event_id=carried_id(event.event_id, prefix),
                source_topic=in_log(event.source_topic, prefix),
            )
        case BreakerTransitioned():
            cause = event.causation_id
            if cause is not None and event.cause not in OF_OPERATORS:
                cause = carried_id(cause, prefix)
            return replace(event, causation_id=cause, outcomes_offset=where.outcomes(event.outcomes_offset))
        case AlertRaised(kind=AlertKind.CREDENTIAL_GATE):
            return replace(event, event_id=carried_id(event.event_id, prefix))
        case DeadLettered():
            return _letter(event, where)
        case RoutingDecided():
            known = tuple(in_log(position, prefix) for position in event.known_positions)
            return replace(event, known_positions=known)
        case ActionAudited(source=source) if source == RETENTION:
            return _audited(event, prefix)
        case _:
            return event


def _letter(event: DeadLettered, where: Whereabouts) -> DeadLettered:
    """About the record in its new place, under the id that a letter about it has there. One about a stranger's record stays."""
    topic = where.old.short_name(event.topic)
    there = where.record(topic, Place(event.partition, event.offset))
    if there is None:
        return event
    full_name = where.new.full_name(topic)
    letter_id = letter_id_of(full_name, there.partition, there.offset)
    is_part = event.status is LetterStatus.LETTERED
    event_id = (
        part_id_of(letter_id, event.part) if is_part else carried_id(event.event_id, where.old.topic_prefix)
    )
    return replace(
        event,
        event_id=event_id,
        letter_id=letter_id,
        topic=full_name,
        partition=there.partition,
        offset=there.offset,
    )


def _audited(event: ActionAudited, prefix: str) -> ActionAudited:
    """A step of retention: its id follows from the offsets that went, and the new deployment's may be the same ones."""
    return replace(
        event,
        event_id=carried_id(event.event_id, prefix),
        correlation_id=event.correlation_id and carried_id(event.correlation_id, prefix),
        causation_id=event.causation_id and carried_id(event.causation_id, prefix),
    )
