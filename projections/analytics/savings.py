"""Savings: what a tenant could have paid less, each with its estimate and the evidence. Pure.

Prices come in as a function, so that a hand can check the sums. An estimate is for the calls that were looked at, and
estimates are not to be added: a cheaper model also makes its retries cheaper.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

from projections.analytics.chroma import Found
from projections.analytics.documents import share
from projections.analytics.latency import percentile_ms
from projections.analytics.windows import add_up

LEAST_CALLS = 100
WORTH_IT = 0.05
ERROR_RATE_TOLERANCE = 0.005
LATENCY_TOLERANCE = 1.1
CACHE_STEP = 0.05

Price = Callable[[str, str, int, int, int], int | None]
"""provider, model, prompt tokens, cached ones among them, answer tokens of one call -> nano-USD, None: not known."""


class Served(NamedTuple):
    """Which model of which provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class SavingKind(StrEnum):
    """What could be done."""

    CHEAPER_MODEL = "cheaper_model"
    CHEAPER_PROVIDER = "cheaper_provider"
    CACHED_TOKENS = "cached_tokens"
    PAID_TWICE = "paid_twice"


@dataclass(frozen=True, slots=True)
class Saving:
    """One thing to do. `evidence` has the figures that it follows from, `says` the sentence for people."""

    kind: SavingKind
    served: Served | None
    instead: Served | None
    paid_nano_usd: int
    estimate_nano_usd: int
    says: str
    evidence: Mapping[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Performance:
    """How a model did in the time looked at."""

    calls: int
    failures: int
    buckets: Mapping[int, int]

    @property
    def error_rate(self) -> float:
        return share(self.failures, self.calls)

    @property
    def p95_ms(self) -> int:
        return percentile_ms(self.buckets, 0.95)


K = TypeVar("K")

Costs = Mapping[str, int]
"""Sums of the figures of cost documents by name."""

_SUMMED = (
    "calls",
    "cost_nano_usd",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "unpriced_calls",
    "retries",
    "retry_cost_nano_usd",
    "paid_failures",
    "potential_savings_nano_usd",
)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen: the tenant's own calls, and those of all tenants, which say what a model can do."""

    own_costs: Sequence[Found]
    own_performance: Sequence[Found]
    all_costs: Sequence[Found]
    all_performance: Sequence[Found]
    least_calls: int = field(default=LEAST_CALLS)


def savings(seen: Observed, price: Price) -> list[Saving]:
    """All that is worth it, the largest estimate first."""
    own = _costs_by(seen.own_costs, _served)
    found = [
        *_cheaper(own, _performances(seen.own_performance), _performances(seen.all_performance), price, seen),
        *_uncached(own, seen, price),
        *_paid_twice(own),
    ]
    return sorted(found, key=lambda one: (-one.estimate_nano_usd, one.kind, str(one.served)))


def _cheaper(
    own: Mapping[Served, Costs],
    did: Mapping[Served, Performance],
    could: Mapping[Served, Performance],
    price: Price,
    seen: Observed,
) -> Iterable[Saving]:
    for served, costs in own.items():
        here = did.get(served)
        if here is None or costs["calls"] < seen.least_calls or costs["unpriced_calls"]:
            continue
        offers = [
            (cost, other)
            for other, there in could.items()
            if other != served and _as_good(here, there, seen.least_calls)
            if (cost := _priced(other, costs, price)) is not None
        ]
        if not offers:
            continue
        cost, best = min(offers)
        if _worth_it(saved := costs["cost_nano_usd"] - cost, costs):
            yield _switch(served, best, costs=costs, saved=saved, here=here, there=could[best])


def _switch(
    served: Served, best: Served, *, costs: Costs, saved: int, here: Performance, there: Performance
) -> Saving:
    same = served.provider == best.provider
    return Saving(
        SavingKind.CHEAPER_MODEL if same else SavingKind.CHEAPER_PROVIDER,
        served,
        best,
        costs["cost_nano_usd"],
        saved,
        f"{best} answered others within {there.p95_ms} ms (95%) with {there.error_rate:.2%} failures; {served} took "
        f"{here.p95_ms} ms with {here.error_rate:.2%}. Outcomes and latency are compared, not what is in the answers.",
        {
            "calls": costs["calls"],
            "input_tokens": costs["input_tokens"],
            "cached_input_tokens": costs["cached_input_tokens"],
            "output_tokens": costs["output_tokens"],
            "error_rate": here.error_rate,
            "latency_p95_ms": here.p95_ms,
            "instead_calls": there.calls,
            "instead_error_rate": there.error_rate,
            "instead_latency_p95_ms": there.p95_ms,
        },
    )


def _uncached(own: Mapping[Served, Costs], seen: Observed, price: Price) -> Iterable[Saving]:
    """Prompt tokens that others have cached: the share that a quarter of all users of the model reach or exceed."""
    users: dict[Served, list[Costs]] = {}
    for (served, _, _), costs in _costs_by(seen.all_costs, _user).items():
        if costs["calls"] >= seen.least_calls and costs["input_tokens"]:
            users.setdefault(served, []).append(costs)
    for served, costs in own.items():
        ranked = sorted(users.get(served, ()), key=_cached_share)
        if len(ranked) < 2 or costs["calls"] < seen.least_calls:
            continue
        reached = ranked[len(ranked) * 3 // 4]
        share_now, share_there = _cached_share(costs), _cached_share(reached)
        if share_there < share_now + CACHE_STEP:
            continue
        more = costs["input_tokens"] * reached["cached_input_tokens"] // reached["input_tokens"]
        before = _priced(served, costs, price)
        after = _priced(served, {**costs, "cached_input_tokens": more}, price)
        if before is None or after is None or not _worth_it(before - after, costs):
            continue
        yield Saving(
            SavingKind.CACHED_TOKENS,
            served,
            None,
            costs["cost_nano_usd"],
            before - after,
            f"{share_now:.0%} of the prompt tokens to {served} were cached; a quarter of its users reach "
            f"{share_there:.0%} or more.",
            {
                "calls": costs["calls"],
                "input_tokens": costs["input_tokens"],
                "cached_input_tokens": costs["cached_input_tokens"],
                "cached_share": share_now,
                "reached_share": share_there,
                "missed_tokens": more - costs["cached_input_tokens"],
                "compared_users": len(ranked),
            },
        )


def _paid_twice(own: Mapping[Served, Costs]) -> Iterable[Saving]:
    """Calls that cost and gave nothing, as far as calls were made again: no more than either was paid twice."""
    total = add_up(own.values())
    wasted, again = total.get("potential_savings_nano_usd", 0), total.get("retry_cost_nano_usd", 0)
    twice = min(wasted, again)
    if twice > 0:
        yield Saving(
            SavingKind.PAID_TWICE,
            None,
            None,
            total["cost_nano_usd"],
            twice,
            f"{total['paid_failures']:,} calls cost something and gave no result, {total['retries']:,} calls were "
            "retries: what both cost was paid twice.",
            {
                "paid_failures": total["paid_failures"],
                "failure_cost_nano_usd": wasted,
                "retries": total["retries"],
                "retry_cost_nano_usd": again,
            },
        )


def _as_good(here: Performance, there: Performance, least_calls: int) -> bool:
    return (
        there.calls >= least_calls
        and there.error_rate <= here.error_rate + ERROR_RATE_TOLERANCE
        and there.p95_ms <= LATENCY_TOLERANCE * here.p95_ms
    )


def _priced(served: Served, costs: Costs, price: Price) -> int | None:
    """What these calls cost there: the price of the average call, so many times."""
    calls = costs["calls"]
    one = price(
        served.provider,
        served.model,
        costs["input_tokens"] // calls,
        min(costs["cached_input_tokens"], costs["input_tokens"]) // calls,
        costs["output_tokens"] // calls,
    )
    return None if one is None else one * calls


def _worth_it(saved: int, costs: Costs) -> bool:
    return saved > 0 and saved >= WORTH_IT * costs["cost_nano_usd"]


def _cached_share(costs: Costs) -> float:
    return share(costs["cached_input_tokens"], costs["input_tokens"])


def _served(found: Found) -> Served:
    return Served(str(found.metadata["provider"]), str(found.metadata["model"]))


def _user(found: Found) -> tuple[Served, str, str]:
    return _served(found), str(found.metadata["tenant"]), str(found.metadata["user"])


def _costs_by(documents: Sequence[Found], key: Callable[[Found], K]) -> dict[K, Costs]:
    parts: dict[K, list[Costs]] = {}
    for one in documents:
        parts.setdefault(key(one), []).append({name: int(one.metadata[name]) for name in _SUMMED})
    return {of: add_up(held) for of, held in parts.items()}


def _performances(documents: Sequence[Found]) -> dict[Served, Performance]:
    parts: dict[Served, list[Found]] = {}
    for one in documents:
        parts.setdefault(_served(one), []).append(one)
    return {
        served: Performance(
            sum(int(one.metadata["calls"]) for one in held),
            sum(int(one.metadata["failures"]) for one in held),
            {
                int(bucket): count
                for bucket, count in add_up(
                    json.loads(str(one.metadata["latency_buckets"])) for one in held
                ).items()
            },
        )
        for served, held in parts.items()
    }
