"""The figures by which windows of a tenant are compared. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from projections.analytics.chroma import Found
from projections.analytics.documents import failures_of, read_window, share
from projections.analytics.latency import percentile_ms
from projections.analytics.windows import Sums, add_up, latencies


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. A difference below `least`, or below `usual` of what is expected, is never surprising."""

    name: str
    of: Callable[[Sums], float]
    least: float
    usual: float = 0.1


def _per_call(sums: Sums, *names: str) -> float:
    return sum(sums.get(name, 0) for name in names) / max(1, sums.get("calls", 0))


MEASURES = (
    Measure("calls", lambda sums: sums.get("calls", 0), 5),
    Measure("cost_nano_usd", lambda sums: sums.get("cost_nano_usd", 0), 1_000_000),
    Measure("cost_per_call_nano_usd", lambda sums: _per_call(sums, "cost_nano_usd"), 10_000),
    Measure("tokens_per_call", lambda sums: _per_call(sums, "input_tokens", "output_tokens"), 20),
    Measure("error_rate", lambda sums: share(failures_of(sums), sums.get("calls", 0)), 0.02),
    Measure("latency_p95_ms", lambda sums: percentile_ms(latencies(sums), 0.95), 50),
    Measure(
        "cached_share",
        lambda sums: share(sums.get("cached_input_tokens", 0), sums.get("input_tokens", 0)),
        0.05,
    ),
)
TOTALS = frozenset({"calls", "cost_nano_usd"})
"""Measures that have a value, zero, also without any call."""


def sums_of(found: Found) -> Sums:
    """The sums that a document of usage carries."""
    return read_window(found.metadata).sums


def by_window(documents: Iterable[Found]) -> dict[int, Sums]:
    """Sums by start of the window, over all documents."""
    parts: dict[int, list[Sums]] = {}
    for one in documents:
        parts.setdefault(int(one.metadata["window_us"]), []).append(sums_of(one))
    return {start: add_up(held) for start, held in parts.items()}


def by_tenant(documents: Iterable[Found]) -> Mapping[str, dict[int, Sums]]:
    """The same for each tenant."""
    held: dict[str, list[Found]] = {}
    for one in documents:
        held.setdefault(str(one.metadata["tenant"]), []).append(one)
    return {tenant: by_window(own) for tenant, own in held.items()}
