"""Windows told naively are those of the analytics, whatever an event says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.catalogue import TOPICS
from processors.verify.naive.windows import told
from projections.analytics.windows import ASPECT_OF_TOPIC, US, Lengths, contributions
from tests.strategies import events_of

LENGTHS = Lengths(usage_s=60, state_s=60)


@pytest.mark.parametrize("topic", ASPECT_OF_TOPIC)
@given(data=st.data())
def test_an_event_adds_the_same_to_the_same_windows(topic: str, data: st.DataObject) -> None:
    """Names and figures, told twice by code that has nothing in common."""
    event: Any = data.draw(events_of(TOPICS[topic].event))
    naive = [((aspect, second // 60 * 60, 60, *names), part) for aspect, second, names, part in told(event)]
    assert naive == [
        ((str(key.aspect), key.start_us // US, *key[2:]), dict(part))
        for key, part in contributions(event, LENGTHS)
    ]
