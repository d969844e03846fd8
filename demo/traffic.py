"""Requests: the rows of a trace, or made up from a seed. Pure but for `read_trace`, which reads a file.

A row of the trace gives a request its arrival (relative to the first row) and its tokens. Who asks, for which tier,
and through which gateway it comes follow from a seeded hash of the row's number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.chance import chance
from demo.errors import BadInputError
from demo.fleet import SMART_PERCENT, TEAMS
from demo.options import DemoOptions

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
SYNTHETIC_MINUTES = 57.0
SYNTHETIC_PER_MINUTE = 155.0
MAX_ROWS = 1_000_000
MAX_TOKENS = 10_000_000
MINUTE_US = 60_000_000

_FORM = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a request arrives, microseconds after the first one, and how large it is."""

    after_us: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Request:
    """One request to be served. `at_us` is its arrival in history; `gateway` the number of the one it comes to."""

    number: int
    request_id: str
    at_us: int
    tenant: str
    org: str
    team: str
    user: str
    api_key: str
    tier: str
    input_tokens: int
    output_tokens: int
    gateway: int


def requests_of(options: DemoOptions) -> tuple[Request, ...]:
    """All requests of a run, by arrival."""
    minutes = options.minutes
    if options.trace is None:
        arrivals: Iterable[Arrival] = synthetic_arrivals(options.seed, minutes or SYNTHETIC_MINUTES)
    else:
        arrivals = read_trace(options.trace)
    limit_us = None if minutes is None else int(minutes * MINUTE_US)
    return tuple(
        assign(number, arrival, options.at_us, options.seed, options.gateways)
        for number, arrival in enumerate(arrivals)
        if limit_us is None or arrival.after_us < limit_us
    )


def read_trace(path: Path) -> list[Arrival]:
    """The rows of an Azure LLM inference trace, by arrival. BadInputError names the line that is none."""
    with path.open(newline="", encoding="utf-8", errors="strict") as file:
        try:
            rows = list(_rows(path, csv.DictReader(file)))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInputError(f"{path} is no CSV file: {error}") from None
    if not rows:
        raise BadInputError(f"{path} has no rows")
    rows.sort()
    first_us = rows[0][0]
    return [Arrival(at_us - first_us, context, generated) for at_us, context, generated in rows]


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[tuple[int, int, int]]:
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise BadInputError(
            f"{path} is no Azure LLM trace: it lacks the columns {', '.join(sorted(missing))}"
        )
    for row in reader:
        if reader.line_num > MAX_ROWS:
            raise BadInputError(f"{path} has over {MAX_ROWS} rows: cut it, or give MINUTES")
        try:
            at, context, generated = (row[column] or "" for column in COLUMNS)
            yield parse_timestamp(at), _tokens(context), _tokens(generated)
        except ValueError as error:
            raise BadInputError(f"{path}, line {reader.line_num}: {error}") from None


def parse_timestamp(text: str) -> int:
    """Microseconds since the epoch of `2023-11-16 18:17:03.9799600`, UTC; finer digits are cut off."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no time like 2023-11-16 18:17:03.9799600")
    whole = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return (whole - _EPOCH) // timedelta(microseconds=1) + int((match[2] or "").ljust(6, "0")[:6])


def _tokens(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_TOKENS:
        raise ValueError(f"{text!r} is no count of tokens (0 to {MAX_TOKENS})")
    return int(text)


def synthetic_arrivals(seed: int, minutes: float) -> Iterator[Arrival]:
    """Requests in bursts: each minute has a rate of its own, as in the trace, and tokens spread as widely."""
    end_us = int(minutes * MINUTE_US)
    draw = chance(seed, "arrivals")
    at_us, minute, per_minute = 0, -1, 0.0
    while True:
        if at_us // MINUTE_US != minute:
            minute = at_us // MINUTE_US
            per_minute = SYNTHETIC_PER_MINUTE * min(draw.lognormvariate(-0.25, 0.7), 4.0)
        at_us += max(1, int(draw.expovariate(per_minute / MINUTE_US)))
        if at_us >= end_us:
            return
        yield Arrival(
            at_us,
            min(7_437, int(draw.lognormvariate(7.1, 1.2)) + 3),
            min(1_899, int(draw.lognormvariate(2.8, 0.9)) + 6),
        )


def assign(number: int, arrival: Arrival, at_us: int, seed: int, gateways: int) -> Request:
    """The request of a row: who asks and where it comes in follow from the seed and the row's number alone."""
    draw = chance(seed, "request", number)
    (team,) = draw.choices(TEAMS, [team.share for team in TEAMS])
    user = f"{team.name}-{draw.randrange(team.users) + 1}"
    return Request(
        number=number,
        request_id=f"r{number:07d}",
        at_us=at_us + arrival.after_us,
        tenant=team.tenant,
        org=team.org,
        team=team.name,
        user=user,
        api_key=f"key-{team.name}-{draw.randrange(2) + 1}",
        tier="smart" if draw.randrange(100) < SMART_PERCENT else "fast",
        input_tokens=arrival.input_tokens,
        output_tokens=arrival.output_tokens,
        gateway=draw.randrange(gateways),
    )
