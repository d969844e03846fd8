"""`interlock history series|trends|top|cost`: what usage came to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.client import ApiClient, ApiUrl, path_of
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say

From = Annotated[str | None, typer.Option("--from", help="RFC 3339: from this instant on.")]
To = Annotated[str | None, typer.Option("--to", help="RFC 3339: before this instant; default: now.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most groups.")]
OfTenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
OfProvider = Annotated[str | None, typer.Option(help="Only of this provider.")]
OfModel = Annotated[str | None, typer.Option(help="Only of this model.")]
OfUser = Annotated[str | None, typer.Option(help="Only of this user.")]
By = Annotated[
    list[str] | None,
    typer.Option(
        help="tenant, provider, model, region, user, org, team, key or outcome; several split further."
    ),
]

EXAMPLES = {
    "series": "Example: interlock history series --window hour --by provider --tenant acme",
    "trends": "Example: interlock history trends --tenant acme",
    "top": "Example: interlock history top --by team --measure tokens --limit 5",
    "cost": "Example: interlock history cost --by tenant --by model --from 2026-03-01T00:00:00Z",
}
FIGURES = ("calls", "failed", "tokens in", "tokens out", "USD", "p50 ms", "p95 ms", "p99 ms")


def series(
    *,
    window: Annotated[str, typer.Option(help="minute, hour or day.")] = "hour",
    by: By = None,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    model: OfModel = None,
    user: OfUser = None,
    start: From = None,
    end: To = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show usage over time: calls, tokens, cost and latencies by window."""
    filters = {"tenant": tenant, "provider": provider, "model": model, "user": user}
    answer = ApiClient(api).get(
        path_of("history", "usage", "series"), **{"from": start, "to": end}, window=window, by=by, **filters
    )
    if as_json:
        print_json(answer)
        return
    rows = [
        (point["at"], *(_absent(value) for value in one["group"].values()), *_figures(point))
        for one in answer["series"]
        for point in one["points"]
    ]
    print_table(("from", *answer["by"], *FIGURES), rows, empty="no calls in that time")


def trends(
    *,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    model: OfModel = None,
    user: OfUser = None,
    start: From = None,
    end: To = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show how usage goes: against the time before, and by the hour of the day."""
    filters = {"tenant": tenant, "provider": provider, "model": model, "user": user}
    path = path_of("history", "usage", "trends")
    answer = ApiClient(api).get(path, **{"from": start, "to": end}, **filters)
    if as_json:
        print_json(answer)
        return
    say(f"{answer['from']} to {answer['to']}, against as long a time before")
    change = answer["change"]
    print_facts((name.replace("_", " "), _percent(value)) for name, value in change.items())
    rows = [(f"{one['hour']:02}:00", *_figures(one)) for one in answer["hours_of_day"] if one["calls"]]
    print_table(("hour, UTC", *FIGURES), rows, empty="no calls in that time")


def top(
    *,
    by: By = None,
    measure: Annotated[str, typer.Option(help="cost, calls, tokens or failures.")] = "cost",
    tenant: OfTenant = None,
    provider: OfProvider = None,
    start: From = None,
    end: To = None,
    limit: Limit = 10,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the top spenders; by default users of tenants, of the last 30 days."""
    answer = ApiClient(api).get(
        path_of("history", "usage", "top"),
        **{"from": start, "to": end},
        by=by,
        measure=measure,
        tenant=tenant,
        provider=provider,
        limit=str(limit),
    )
    _split(answer, as_json=as_json)


def cost(
    *,
    by: By = None,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    start: From = None,
    end: To = None,
    limit: Limit = 1000,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what the cost consists of; by default providers and models, of the last 30 days."""
    answer = ApiClient(api).get(
        path_of("history", "usage", "cost"),
        **{"from": start, "to": end},
        by=by,
        tenant=tenant,
        provider=provider,
        limit=str(limit),
    )
    _split(answer, as_json=as_json)


def _figures(totals: dict[str, Any]) -> tuple[object, ...]:
    latency = totals["latency_ms"] or {"p50": None, "p95": None, "p99": None}
    return (
        totals["calls"],
        totals["failures"],
        totals["input_tokens"],
        totals["output_tokens"],
        totals["cost_usd"],
        latency["p50"],
        latency["p95"],
        latency["p99"],
    )


def _split(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    rows = [
        (*(_absent(value) for value in one["group"].values()), f"{one['share']:.1%}", *_figures(one))
        for one in answer["groups"]
    ]
    rows.append(
        (*("all" if not at else "" for at in range(len(answer["by"]))), "", *_figures(answer["total"]))
    )
    print_table(
        (*answer["by"], "share", *FIGURES), rows if answer["groups"] else [], empty="no calls in that time"
    )
    if answer["unlisted"]:
        remark(f"and {answer['unlisted']} smaller groups: --limit lists more")


def _absent(value: str | None) -> str:
    return "-" if value is None else value


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1%}"
