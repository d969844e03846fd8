"""The questions that take several reads: which documents each looks at, and what is decided of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from events.pricing import price_call
from projections.analytics.anomalies import Comparison, compare
from projections.analytics.chroma import Found
from projections.analytics.documents import COST, PERFORMANCE, STATES, USAGE, read_window
from projections.analytics.filters import Comparison as Compare
from projections.analytics.filters import Condition, all_of, equal, started
from projections.analytics.incidents import (
    Incident,
    Outlook,
    State,
    apart,
    incident,
    most_alike,
    outlook,
    state_of,
)
from projections.analytics.library import Library, Shelf, Shelves
from projections.analytics.measures import by_tenant, by_window
from projections.analytics.savings import Observed, Saving, savings
from projections.analytics.state_documents import FAILING, calls_figures
from projections.analytics.windows import US, Aspect, window_start_us

PEER_WINDOWS = 4
PEER_DOCUMENTS = 5_000
NOW_WITHIN_WINDOWS = 12
NEIGHBOURS_PER_INCIDENT = 12
DAY_US = 86_400_000_000


class NothingKnownError(LookupError):
    """There are no documents that the question could be answered from."""


@dataclass(frozen=True, slots=True)
class Anomalies:
    """A tenant's window, judged; `documents` are what it is made of."""

    start_us: int
    comparison: Comparison
    documents: Sequence[Found]
    complete: bool


@dataclass(frozen=True, slots=True)
class SimilarIncidents:
    """A provider's state, and past ones like it, the most alike first."""

    state: State
    document_id: str
    incidents: Sequence[Incident]
    outlook: Outlook
    complete: bool


@dataclass(frozen=True, slots=True)
class Savings:
    """What a tenant could have paid less in [from_us, to_us)."""

    from_us: int
    to_us: int
    savings: Sequence[Saving]
    calls: int
    cost_nano_usd: int
    complete: bool


async def anomalies_of(
    library: Library, tenant: str, at_us: int, *, past_days: int, surprising: float
) -> Anomalies:
    """Judge the tenant's window that holds the instant."""
    length_s = library.settings.window_s
    start_us = window_start_us(at_us, length_s)
    length_us = length_s * US
    of_length = equal("window_s", length_s)
    end_us = start_us + length_us
    async with library.question() as shelves:
        own, around = await asyncio.gather(
            shelves.shelf(
                USAGE,
                all_of(
                    [
                        *equal("tenant", tenant),
                        *of_length,
                        *started(start_us - past_days * DAY_US, end_us),
                    ]
                ),
            ),
            shelves.shelf(
                USAGE,
                all_of(
                    [
                        *of_length,
                        *started(start_us - PEER_WINDOWS * length_us, end_us),
                        Condition("tenant", Compare.NE, tenant),
                    ]
                ),
                PEER_DOCUMENTS,
            ),
        )
    comparison = compare(
        start_us, length_us, by_window(own.documents), by_tenant(around.documents), surprising
    )
    now = [one for one in own.documents if one.metadata["window_us"] == start_us]
    return Anomalies(start_us, comparison, now, own.complete and around.complete)


async def similar_incidents(
    library: Library, provider: str, at_us: int, *, among: str | None, limit: int, follow_s: int
) -> SimilarIncidents:
    """The provider's newest state up to the instant, and past states like it, of `among` or of every provider."""
    window_us = library.settings.state_window_s * US
    gap_us = follow_s * US
    calls = equal("aspect", str(Aspect.CALLS))
    async with library.question() as shelves:
        recent = await shelves.shelf(
            STATES,
            all_of(
                [
                    *equal("provider", provider),
                    *calls,
                    *started(at_us - NOW_WITHIN_WINDOWS * window_us, at_us + 1),
                ]
            ),
        )
        if not recent.documents:
            raise NothingKnownError(
                f"no calls of {provider} are known in the {NOW_WITHIN_WINDOWS * window_us // (60 * US)} minutes before"
            )
        now = max(recent.documents, key=lambda one: int(one.metadata["window_us"]))
        before = started(None, int(now.metadata["window_us"]) - gap_us + 1)
        past = [*calls, *equal("provider", among), *before]
        alike = await _alike(shelves, now, past, limit * NEIGHBOURS_PER_INCIDENT)
        chosen = apart(most_alike(now, alike.documents), gap_us, limit)
        after = await asyncio.gather(*(_after(shelves, one, gap_us) for one in chosen))
    incidents = [incident(one, followed) for one, followed in zip(chosen, after, strict=True)]
    return SimilarIncidents(state_of(now), now.id, incidents, outlook(incidents), alike.complete)


async def savings_of(library: Library, tenant: str, from_us: int, to_us: int) -> Savings:
    """Look at the tenant's calls in windows that start in [from_us, to_us), and at what others had meanwhile."""
    when = started(from_us, to_us)
    own = [*equal("tenant", tenant), *when]
    async with library.question() as shelves:
        each = await asyncio.gather(
            shelves.shelf(COST, all_of(own)),
            shelves.shelf(PERFORMANCE, all_of(own)),
            shelves.shelf(COST, all_of(when)),
            shelves.shelf(PERFORMANCE, all_of(when)),
        )
    costs, performance, all_costs, all_performance = (shelf.documents for shelf in each)

    def price(provider: str, model: str, prompt: int, cached: int, answer: int) -> int | None:
        return price_call(
            provider, model, to_us, input_tokens=prompt, cached_input_tokens=cached, output_tokens=answer
        )

    observed = Observed(costs, performance, all_costs, all_performance)
    found = await asyncio.to_thread(savings, observed, price)
    return Savings(
        from_us,
        to_us,
        found,
        sum(int(one.metadata["calls"]) for one in costs),
        sum(int(one.metadata["cost_nano_usd"]) for one in costs),
        all(shelf.complete for shelf in each),
    )


async def _alike(shelves: Shelves, now: Found, past: Sequence[Condition], neighbours: int) -> Shelf:
    """Documents that may be like now: of a state that fails all that fail, of one that does not the nearest.

    The index is a graph that is searched from neighbour to neighbour (HNSW), and the few states that fail lie behind the many
    that do not: of 20,000 windows it missed one outage in six. They are few enough to be read and compared exactly.
    """
    if state_of(now).failing:
        return await shelves.shelf(STATES, all_of([*past, Condition("failure_rate", Compare.GTE, FAILING)]))
    vector = shelves.vectors.of_figures(calls_figures(read_window(now.metadata).sums))
    return Shelf(await shelves.nearest(STATES, vector, all_of(past), neighbours), complete=True)


async def _after(shelves: Shelves, one: Found, follow_us: int) -> Sequence[Found]:
    start_us = int(one.metadata["window_us"])
    shelf = await shelves.shelf(
        STATES,
        all_of(
            [
                *equal("provider", str(one.metadata["provider"])),
                *started(start_us, start_us + follow_us + 1),
            ]
        ),
    )
    return shelf.documents
