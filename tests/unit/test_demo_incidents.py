"""Outages from a file of published incidents and from a seed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demo.errors import BadInputError
from demo.incidents import FAILURE_SHARES, Outage, failure_share, outages_of, read_incidents, touches_api
from demo.options import DemoOptions
from demo.traffic import MINUTE_US

HEADER = "incident_id,provider,impact,components,title,started_at,resolved_at\n"
ROWS = """a,openai,3,API|ChatGPT,Major Outage across ChatGPT and API,2023-11-08 13:54:00+00:00,2023-11-08 15:46:00+00:00
b,openai,3,ChatGPT,ChatGPT alone,2023-11-08 13:40:00+00:00,2023-11-08 15:46:00+00:00
c,anthropic,2,,Elevated errors,2023-11-08 14:00:00+00:00,2023-11-08 14:10:00+00:00
d,anthropic,2,api.anthropic.com,Instant,2023-11-08 14:00:00+00:00,2023-11-08 14:00:00+00:00
e,character,3,Character.AI,Not in the fleet,2023-11-08 13:40:00+00:00,2023-11-08 15:46:00+00:00
f,openai,1,API,The day before,2023-11-07 13:54:00+00:00,2023-11-07 15:46:00+00:00
"""


@pytest.fixture
def incidents(tmp_path: Path) -> Path:
    path = tmp_path / "incidents.csv"
    path.write_text(HEADER + ROWS)
    return path


def test_only_incidents_of_an_api_strike_the_traffic(incidents: Path) -> None:
    """Web pages, other providers and rows without a duration are passed over."""
    titles = [outage.title for outage in read_incidents(incidents)]
    assert titles == ["Major Outage across ChatGPT and API", "Elevated errors", "The day before"]


def test_only_what_touches_the_traffic_is_kept(incidents: Path) -> None:
    """Outages that end before the traffic or begin after it are left out."""
    options = DemoOptions.of(incidents=incidents, at="2023-11-08T13:30Z")
    outages = outages_of(options, options.at_us + 57 * MINUTE_US)
    assert [(o.provider, (o.start_us - options.at_us) // MINUTE_US) for o in outages] == [
        ("openai", 24),
        ("anthropic", 30),
    ]


@pytest.mark.parametrize(
    "provider,components,touched",
    [
        ("openai", "API", True),
        ("openai", "Playground|API|Labs|ChatGPT", True),
        ("openai", "", True),
        ("openai", "ChatGPT", False),
        ("openai", "Labs|Playground", False),
        ("anthropic", "api.anthropic.com|claude.ai", True),
        ("anthropic", "console.anthropic.com", False),
        ("anthropic", "API", False),
        ("character", "Character.AI", False),
        ("character", "", False),
    ],
)
def test_components_tell_whether_the_api_is_meant(provider: str, components: str, touched: bool) -> None:
    """A row counts when it names the provider's API, or names nothing."""
    assert touches_api(provider, components) is touched


def test_a_graver_impact_fails_a_larger_share() -> None:
    """Impact 3 trips a breaker by its failure rate of a half, impact 1 does not."""
    assert [FAILURE_SHARES[impact] for impact in range(5)] == sorted(FAILURE_SHARES.values())
    assert FAILURE_SHARES[1] < 0.5 < FAILURE_SHARES[2]


def test_of_two_outages_the_graver_one_counts() -> None:
    """Shares of overlapping outages do not add up, and an end is exclusive."""
    outages = [
        Outage("openai", 0, 100, 1, 0.1, "slight"),
        Outage("openai", 50, 80, 3, 0.95, "grave"),
        Outage("anthropic", 0, 100, 4, 1.0, "other"),
    ]
    assert [failure_share(outages, "openai", at) for at in (0, 50, 79, 80, 100)] == [
        0.1,
        0.95,
        0.95,
        0.1,
        0.0,
    ]


def test_outages_of_a_seed_begin_and_end_within_the_traffic() -> None:
    """So a run without files shows breakers that open and that close again."""
    options = DemoOptions.of(seed=11)
    end_us = options.at_us + 57 * MINUTE_US
    outages = outages_of(options, end_us)
    assert {outage.provider for outage in outages} == {"openai", "anthropic"}
    assert all(options.at_us < outage.start_us < outage.end_us < end_us for outage in outages)
    assert outages == outages_of(options, end_us)


@pytest.mark.parametrize(
    "row,told",
    [
        ("x,openai,9,API,t,2023-11-08 13:54:00+00:00,2023-11-08 15:46:00+00:00\n", "line 2"),
        ("x,openai,two,API,t,2023-11-08 13:54:00+00:00,2023-11-08 15:46:00+00:00\n", "line 2"),
        ("x,openai,2,API,t,2023-11-08 13:54:00,2023-11-08 15:46:00\n", "no time zone"),
        ("x,openai,2,API,t\n", "line 2"),
    ],
)
def test_a_row_that_is_no_incident_is_refused_with_its_line(tmp_path: Path, row: str, told: str) -> None:
    """The user learns which line of which file is wrong."""
    path = tmp_path / "bad.csv"
    path.write_text(HEADER + row)
    with pytest.raises(BadInputError, match=told):
        read_incidents(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """The missing columns are named."""
    path = tmp_path / "bad.csv"
    path.write_text("TIMESTAMP,ContextTokens\n")
    with pytest.raises(BadInputError, match="lacks the columns"):
        read_incidents(path)


def test_the_document_states_the_shares_that_are_played() -> None:
    """docs/demo.md is what a reader of the table believes."""
    text = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()
    for impact, share in FAILURE_SHARES.items():
        assert re.search(rf"^\| {impact} \| \w+ \| {share * 100:.0f} % \|$", text, re.MULTILINE)
