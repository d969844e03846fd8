"""What is told: JSON for programs, a page for people."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import orjson

from api.backtest.document import document
from api.backtest.page import page
from api.backtest.plot import Lane, bars, lanes
from events.provider_changed import BreakerPolicy
from processors.backtest.policy import TriedPolicy
from projections.live.provider import ProviderSettings
from tests.backtest_source import backtest
from tests.unit.backtest.test_spend import USD, Ledgers, budget

NASTY = '<b onload="x">'


def told() -> tuple[dict[str, object], str]:
    """The document and the page of a backtest in which a little of everything differs."""
    given = Ledgers()
    for at in range(1, 9):
        given.call(at, tenant="acme", provider=NASTY, model="m&m")
    strict = ProviderSettings(provider="openai", breaker_policy=BreakerPolicy(consecutive_failures=1))
    outcome = backtest(given.log, TriedPolicy({"openai": strict}, (budget(4 * USD),)))
    return document(outcome), page(outcome, NASTY)


def test_the_page_needs_nothing_else_and_nobodys_names_are_markup() -> None:
    """No address is loaded, no script is there, and what users called things is shown as they called it."""
    _, text = told()
    assert not re.search(r"<(script|link|img|iframe|b )|https?://|@import|url\(", text)
    assert "&lt;b onload=" in text
    assert "m&amp;m" in text


def test_the_document_is_plain_json_with_money_as_texts() -> None:
    """And a time that is not limited is null."""
    found, _ = told()
    assert orjson.loads(orjson.dumps(found)) == found
    assert found["from"] is None
    costs = found["costs"]
    assert isinstance(costs, dict)
    assert costs["total"] == {
        "calls": 8,
        "recorded_usd": "8",
        "tried_usd": "8",
        "difference_usd": "0",
        "unpriced_recorded": 0,
        "unpriced_tried": 0,
    }


def test_a_plot_is_no_larger_than_it_is_wide() -> None:
    """However many spans there are; each lies within it and is seen."""
    spans = [(at * 1_000_000, at * 1_000_000 + 1) for at in range(0, 100_000, 2)]
    drawn = ET.fromstring(lanes("many", [("a<b", [Lane("x", [("open", spans)])])], 0, 100_000_000_000))
    boxes = [box for box in drawn.iter("rect") if box.get("class") == "open"]
    assert 0 < len(boxes) < 1_000
    edges = [(int(box.get("x", "")), int(box.get("width", ""))) for box in boxes]
    assert all(left >= 210 and width > 0 and left + width <= 1_000 for left, width in edges)


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    """The dearest fills the room, half of it is half as long, and nothing is no bar."""
    drawn = ET.fromstring(bars("cost", [("a", 100, 50, "half"), ("b", 0, 100, "new")]))
    widths = [int(box.get("width", "")) for box in drawn.iter("rect")]
    assert widths == [widths[0], widths[0] // 2, 0, widths[0]]
