"""What the naive folds say of whole histories, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from events.breaker_transitioned import BreakerTransitioned
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.provider_health_checked import ProviderHealthChecked
from processors.verify.naive.breakers import ToldBreaker, first_of_each
from processors.verify.naive.health import Checked, Fared, subject_of
from processors.verify.naive.settings import Documents
from processors.verify.naive.spend import Charged, Spending


def documents_of(tell_one: Callable[[Documents, Any], None], events: Iterable[Event]) -> Documents:
    """The documents that the events come to, one after the other."""
    documents: Documents = {}
    for event in events:
        tell_one(documents, event)
    return documents


def spend_documents(charged: Iterable[Charged]) -> dict[str, dict[str, object]]:
    """By spend id the JSON document that the live state should hold, from all usage and adjustments (duplicates dropped)."""
    spending = Spending()
    for event in charged:
        spending.add(event)
    return {spend: spending.document(spend) for spend in spending.sums}


def health_documents(observed: Iterable[OutcomesObserved]) -> dict[str, dict[str, Any]]:
    """By deployment the JSON document that the live state should hold, from all outcomes there are, in order."""
    fared: dict[str, Fared] = {}
    for event in observed:
        fared.setdefault(event.deployment, Fared(event)).see(event)
    return {deployment: one.document() for deployment, one in fared.items()}


def check_documents(checks: Iterable[ProviderHealthChecked]) -> dict[str, dict[str, Any]]:
    """By subject the JSON document that the live state should hold, from all checks there are, in order."""
    checked: dict[str, Checked] = {}
    for event in checks:
        subject = subject_of(event)
        checked.setdefault(subject, Checked(subject)).see(event)
    return {subject: one.document() for subject, one in checked.items()}


def tell_breakers(
    outcomes: Sequence[tuple[int, OutcomesObserved]],
    clocks_ms: Sequence[int],
    transitions: Iterable[BreakerTransitioned],
) -> dict[str, ToldBreaker]:
    """The breakers of one partition, by deployment, after all of its outcomes and transitions."""
    by_deployment = first_of_each(transitions)
    breakers = {
        name: ToldBreaker((found[0].provider, found[0].model, found[0].region), found)
        for name, found in by_deployment.items()
    }
    for offset, event in outcomes:
        name = (event.provider, event.model, event.region)
        breaker = breakers.setdefault(event.deployment, ToldBreaker(name, []))
        breaker.observe(event, offset, clocks_ms[offset] * 1000)
    for breaker in breakers.values():
        breaker.up_to((len(clocks_ms), 0, 0))
    return breakers
