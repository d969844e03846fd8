"""The part of a plan about records that were no events, which the history keeps whole. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from projections.retention.holdings import Holdings, RefusedAsked, RefusedRows
from projections.retention.policy import Policies, Policy, Store
from projections.retention.safe import safe_spans, why_not
from projections.retention.selection import RefusedSelection
from projections.retention.steps import DeleteRefused, HeldBack

_HELD = "a hold of the policies keeps the topic: what was refused has no tenant"


def refused_asked(policies: Policies, holdings: Holdings, now_us: int) -> Iterator[RefusedAsked]:
    """What has to be known of the history."""
    for policy in policies.of(Store.REFUSED):
        for topic in policy.chosen_topics:
            yield _asked(policy, topic, holdings, now_us)


def refused_steps(
    policies: Policies, holdings: Holdings, now_us: int, refused: Mapping[RefusedAsked, RefusedRows]
) -> Iterator[DeleteRefused | HeldBack]:
    """A step per topic; of what several policies want, the first policy takes it."""
    claimed: set[str] = set()
    for policy in policies.of(Store.REFUSED):
        for topic in policy.chosen_topics:
            asked = _asked(policy, topic, holdings, now_us)
            found = refused.get(asked)
            if found is None or not found.rows or topic in claimed:
                continue
            subject = f"{Store.REFUSED}/{topic}"
            if policies.held_tenants(topic):
                yield HeldBack(policy.name, subject, found.rows, _HELD)
                continue
            taken = found.taken
            if taken.rows:
                claimed.add(topic)
                yield DeleteRefused(
                    policy=policy.name,
                    action=policy.action,
                    subject=subject,
                    rows=taken.rows,
                    bytes=taken.bytes,
                    first=taken.first,
                    selection=asked.selection,
                )
            if found.rows > taken.rows:
                why = why_not(holdings, topic, found.spans)
                yield HeldBack(policy.name, subject, found.rows - taken.rows, why)


def _asked(policy: Policy, topic: str, holdings: Holdings, now_us: int) -> RefusedAsked:
    assert policy.older_than is not None, "no other limit is for this store"
    before_us = now_us - policy.older_than
    return RefusedAsked(policy.name, RefusedSelection(topic, before_us, safe_spans(holdings, topic)))
