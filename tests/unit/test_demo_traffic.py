"""Requests from a trace and from a seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from demo.errors import BadInputError
from demo.fleet import TENANTS
from demo.options import DemoOptions
from demo.traffic import MINUTE_US, parse_timestamp, read_trace, requests_of

TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:18:33.4590290,1555,19"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


def test_a_row_gives_arrival_and_tokens(trace: Path) -> None:
    """Arrivals count from the first row, whichever line it stands in; the last line needs no line end."""
    arrivals = read_trace(trace)
    assert [arrival.after_us for arrival in arrivals] == [0, 52_000, 89_479_069]
    assert [(a.input_tokens, a.output_tokens) for a in arrivals] == [(4808, 10), (3180, 8), (1555, 19)]


def test_a_trace_begins_at_the_instant_that_was_asked_for(trace: Path) -> None:
    """The rows keep their distances and move to AT."""
    options = DemoOptions.of(trace=trace)
    requests = requests_of(options)
    assert [request.at_us - options.at_us for request in requests] == [0, 52_000, 89_479_069]


def test_minutes_cut_the_traffic(trace: Path) -> None:
    """Only what arrives within the minutes is played."""
    assert len(requests_of(DemoOptions.of(trace=trace, minutes=1))) == 2


def test_digits_finer_than_a_microsecond_are_cut() -> None:
    """The trace writes seven digits, an event holds six."""
    assert parse_timestamp("1970-01-01 00:00:01.1234567") == 1_123_456
    assert parse_timestamp("1970-01-01 00:00:01") == 1_000_000
    assert parse_timestamp("1970-01-01 00:00:01.5") == 1_500_000


@pytest.mark.parametrize(
    "text,told",
    [
        ("a,b\n1,2\n", "lacks the columns"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "has no rows"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n", "line 2: 'yesterday' is no time"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,-1,2\n", "line 2: '-1' is no count"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,7\n", "line 2: '' is no count"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,NaN,2\n", "line 2: 'NaN' is no count"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """The user learns which line of which file is wrong."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(BadInputError, match=told):
        read_trace(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A binary file is no trace."""
    path = tmp_path / "bad.csv"
    path.write_bytes(b"TIMESTAMP,ContextTokens,GeneratedTokens\n\xff\xfe,1,2\n")
    with pytest.raises(BadInputError, match="no CSV"):
        read_trace(path)


def test_a_seed_gives_the_same_requests_again() -> None:
    """Same options, same requests; another seed, others."""
    first = requests_of(DemoOptions.of(seed=3, minutes=5))
    assert first == requests_of(DemoOptions.of(seed=3, minutes=5))
    assert first != requests_of(DemoOptions.of(seed=4, minutes=5))


def test_synthetic_requests_come_in_order_and_in_time() -> None:
    """Arrivals rise and lie within the minutes asked for."""
    options = DemoOptions.of(minutes=10)
    times = [request.at_us for request in requests_of(options)]
    assert times == sorted(times)
    assert options.at_us < times[0]
    assert times[-1] < options.at_us + 10 * MINUTE_US


def test_every_tenant_and_every_gateway_has_its_share() -> None:
    """The hash of a row's number spreads requests over all of them."""
    requests = requests_of(DemoOptions.of(gateways=4))
    assert {request.tenant for request in requests} == set(TENANTS)
    by_gateway = Counter(request.gateway for request in requests)
    assert set(by_gateway) == {0, 1, 2, 3}
    assert min(by_gateway.values()) > len(requests) / 8


def test_who_asks_does_not_depend_on_the_number_of_gateways() -> None:
    """Tenant, team, user, key and tier are drawn before the gateway."""

    def asked(gateways: int) -> list[tuple[str, ...]]:
        options = DemoOptions.of(minutes=5, gateways=gateways)
        return [(r.tenant, r.org, r.team, r.user, r.api_key, r.tier) for r in requests_of(options)]

    assert asked(3) == asked(5)
