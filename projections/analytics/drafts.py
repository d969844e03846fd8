"""Which documents a window makes, by its aspect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from projections.analytics.documents import Draft
from projections.analytics.routing_documents import routing_drafts
from projections.analytics.state_documents import breaker_drafts, calls_drafts, check_drafts
from projections.analytics.usage_documents import usage_drafts
from projections.analytics.windows import Aspect, Window


def drafts(window: Window) -> list[Draft]:
    """All documents of a window; the last one carries its sums."""
    return _DRAFTS[window.key.aspect](window)


_DRAFTS: Mapping[Aspect, Callable[[Window], list[Draft]]] = {
    Aspect.USAGE: usage_drafts,
    Aspect.ROUTING: routing_drafts,
    Aspect.CALLS: calls_drafts,
    Aspect.BREAKERS: breaker_drafts,
    Aspect.CHECKS: check_drafts,
}
