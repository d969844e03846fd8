"""Outages: published incidents that touch an API, or made up from a seed. Pure but for `read_incidents`.

How a row maps to an outage of a simulated provider:

- `provider`: `openai` and `anthropic` as they are; other providers (character) are not in the fleet and are passed over.
- `components`: a row counts when it names the provider's API (`API`, `api.anthropic.com`) or names nothing at all; an
  incident of a web page (ChatGPT, claude.ai, Labs, ...) alone does not touch API traffic.
- `started_at` to `resolved_at`: when calls fail. A row that lasts no time fails nothing.
- `impact`: the share of calls that fail, by FAILURE_SHARES. The numbers are those of the status pages' own scale:
  none, minor, major, critical; the two rows of impact 4 are maintenance.

All deployments of the provider are struck alike: the rows do not say which models were affected in a form to rely on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from demo.chance import chance
from demo.errors import BadInputError
from demo.options import DemoOptions
from demo.traffic import MINUTE_US

COLUMNS = ("incident_id", "provider", "impact", "components", "title", "started_at", "resolved_at")
API_COMPONENTS = {"openai": "API", "anthropic": "api.anthropic.com"}

FAILURE_SHARES = {0: 0.02, 1: 0.10, 2: 0.60, 3: 0.95, 4: 1.0}
"""Share of calls that fail while an incident of that impact lasts."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A share of a provider's calls fails in [start_us, end_us), microseconds of history."""

    provider: str
    start_us: int
    end_us: int
    impact: int
    failure_share: float
    title: str


def outages_of(options: DemoOptions, end_us: int) -> tuple[Outage, ...]:
    """The outages between the begin of the traffic and its end, by their begin."""
    if options.incidents is None:
        found: Iterable[Outage] = synthetic_outages(options.seed, options.at_us, end_us)
    else:
        found = read_incidents(options.incidents)
    touching = (outage for outage in found if outage.end_us > options.at_us and outage.start_us < end_us)
    return tuple(sorted(touching, key=lambda outage: (outage.start_us, outage.provider, outage.title)))


def failure_share(outages: Iterable[Outage], provider: str, at_us: int) -> float:
    """Which share of the provider's calls fails at an instant: that of the gravest outage under way."""
    return max(
        (
            outage.failure_share
            for outage in outages
            if outage.provider == provider and outage.start_us <= at_us < outage.end_us
        ),
        default=0.0,
    )


def synthetic_outages(seed: int, start_us: int, end_us: int) -> Iterator[Outage]:
    """One grave outage of the first choice, a lesser one of the second within it, and a slight one: all end in time."""
    span_us = end_us - start_us
    draw = chance(seed, "outages")
    for provider, impact, begin, length in (
        ("openai", 3, 0.25, 0.25),
        ("anthropic", 2, 0.40, 0.10),
        ("openai", 1, 0.70, 0.15),
    ):
        at_us = start_us + int(span_us * (begin + draw.uniform(-0.02, 0.02)))
        lasts_us = max(MINUTE_US // 2, int(span_us * length * draw.uniform(0.8, 1.0)))
        title = f"Made up from seed {seed}"
        yield Outage(provider, at_us, at_us + lasts_us, impact, FAILURE_SHARES[impact], title)


def read_incidents(path: Path) -> list[Outage]:
    """The incidents of a file that touch an API of the fleet. BadInputError names the line that is none."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise BadInputError(
                    f"{path} is no file of incidents: it lacks the columns {', '.join(sorted(missing))}"
                )
            return [outage for row in reader if (outage := _outage(path, reader.line_num, row)) is not None]
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadInputError(f"{path} is no CSV file: {error}") from None


def _outage(path: Path, line: int, row: dict[str, str]) -> Outage | None:
    try:
        impact = int(row["impact"])
        share = FAILURE_SHARES[impact]
        start_us, end_us = _instant_us(row["started_at"]), _instant_us(row["resolved_at"])
    except (KeyError, ValueError, TypeError) as error:
        raise BadInputError(f"{path}, line {line}: not an incident ({error})") from None
    if not touches_api(row["provider"], row["components"]) or end_us <= start_us:
        return None
    return Outage(row["provider"], start_us, end_us, impact, share, row["title"])


def touches_api(provider: str, components: str) -> bool:
    """Whether an incident of these components (with `|` between) makes calls to the provider's API fail."""
    api = API_COMPONENTS.get(provider)
    return api is not None and (not components or api in components.split("|"))


def _instant_us(text: str) -> int:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (instant - datetime.fromisoformat("1970-01-01T00:00:00+00:00")) // timedelta(microseconds=1)
