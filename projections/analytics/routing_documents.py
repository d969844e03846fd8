"""The document of a window of routing decisions."""

from __future__ import annotations

from projections.analytics.documents import Draft, Fields, carrier, names, scaled, share, when, who
from projections.analytics.windows import Window, counted

RETRIED = 0.05
"""Share of decisions that were made again from which a window counts as retried."""


def routing_drafts(window: Window) -> list[Draft]:
    key, sums = window.key, window.sums
    decisions, unroutable = sums["decisions"], sums.get("unroutable", 0)
    strategies, passed_over = counted(sums, "strategy"), counted(sums, "passed_over")
    strategy = max(sorted(strategies), key=lambda name: strategies[name])
    where = f"to {key.provider}/{key.model}" if key.provider else "nowhere"
    why = ", ".join(f"{name} {count:,}" for name, count in sorted(passed_over.items())) or "none"
    text = (
        f"{who(key)} was routed {where} {decisions:,} times {when(key)}, mostly by {strategy}; "
        f"{sums.get('retries', 0):,} times again after a failure; candidates passed over: {why}."
    )
    fields: Fields = {
        "decisions": decisions,
        "unroutable": unroutable,
        "retries": sums.get("retries", 0),
        "passed_over": sum(passed_over.values()),
        "strategy": strategy,
    }
    numbers = (
        scaled(decisions, 100_000),
        share(unroutable, decisions),
        share(sums.get("retries", 0), decisions),
        share(sum(passed_over.values()), max(1, sums.get("candidates", 0))),
        scaled(sums.get("candidates", 0) // decisions, 20),
        scaled(max(0, sums.get("estimated_cost_nano_usd", 0)) // decisions, 10**10),
    )
    words = [*names(key), *strategies, *passed_over]
    if unroutable:
        words.append("unroutable")
    if share(sums.get("retries", 0), decisions) >= RETRIED:
        words.append("retried")
    return [carrier(window, text, fields, numbers, tuple(words))]
