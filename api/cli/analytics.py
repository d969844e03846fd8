"""`interlock analytics`: what stands out, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.client import ApiClient, ApiUrl
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say

app = typer.Typer(help="Analytics: search, anomalies, incidents, savings.", no_args_is_help=True)

Tenant = Annotated[str, typer.Argument(help="Tenant.")]


@app.command(
    epilog="Examples: interlock analytics search 'slow failing openai'  ·  interlock analytics search night --tenant acme"
)
def search(
    *,
    text: Annotated[str | None, typer.Argument(help="Words: names, outcomes, what stands out.")] = None,
    like: Annotated[str | None, typer.Option(help="Id of a document, instead of words.")] = None,
    collection: Annotated[str, typer.Option(help="Where to search.")] = "usage_patterns",
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Only windows from this time on.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only windows before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most documents.")] = 10,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search windows by words, or by the example of another one."""
    given = {"text": text, "like": like, "tenant": tenant, "user": user, "provider": provider}
    given |= {"model": model, "from": start, "to": end}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    answer = ApiClient(api).post("/v1/analytics/search", body | {"collection": collection, "limit": limit})
    if as_json:
        print_json(answer)
        return
    rows = [(one["from"], f"{one['likeness']:.2f}", one["text"], one["id"]) for one in answer["documents"]]
    print_table(("from", "likeness", "what", "id"), rows, empty="nothing was found")


@app.command(epilog="Example: interlock analytics anomalies acme --at 2026-03-01T12:00:00Z")
def anomalies(
    tenant: Tenant,
    at: Annotated[
        str | None, typer.Option(help="An instant of the window; default: the last full one.")
    ] = None,
    past_days: Annotated[int, typer.Option(min=1, help="How far the past goes back.")] = 14,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Say what is unusual in a tenant's window, and whether its peers went the same way."""
    answer = ApiClient(api).get("/v1/analytics/anomalies", tenant=tenant, at=at, past_days=str(past_days))
    if as_json:
        print_json(answer)
        return
    say(
        f"{tenant}, {answer['from']} to {answer['to']}: {answer['calls']} calls, compared with "
        f"{answer['past_windows']} of {answer['compared']} and {answer['peers']} peers"
    )
    rows = [
        (one["measure"], one["value"], one["expected"], one["factor"], one["score"], _peers(one))
        for one in answer["anomalies"]
    ]
    nothing = "nothing is unusual" if answer["judged"] else "there is too little of a past to tell"
    print_table(("measure", "value", "usual", "times", "deviations", "peers"), rows, empty=nothing)
    if rows:
        parts = [
            (one["user"], f"{one['provider']}/{one['model']}", one["calls"], one["failures"], one["cost_usd"])
            for one in answer["contributors"]
        ]
        say("")
        print_table(("user", "deployment", "calls", "failures", "USD"), parts, empty="")
    _incomplete(answer)


@app.command(epilog="Example: interlock analytics incidents openai --among all")
def incidents(
    *,
    provider: Annotated[str, typer.Argument(help="Provider.")],
    at: Annotated[str | None, typer.Option(help="As of then; default: now.")] = None,
    among: Annotated[str, typer.Option(help="Whose past: provider, or all.")] = "provider",
    limit: Annotated[int, typer.Option(min=1, max=20, help="Most incidents.")] = 5,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Find past states like a provider's state now, and what followed them."""
    answer = ApiClient(api).get(
        "/v1/analytics/similar-incidents", provider=provider, at=at, among=among, limit=str(limit)
    )
    if as_json:
        print_json(answer)
        return
    now, incidents = answer["state"], answer["incidents"]
    print_facts(
        [
            ("now", f"{provider}, {_state(now)}"),
            ("recovered", f"{answer['recovered']} of {len(incidents)} within the time looked at"),
            ("median recovery", answer["median_recovery_s"] and f"{answer['median_recovery_s']:g} s"),
            ("breakers opened", f"after {answer['opened_breakers']} of them"),
        ]
    )
    rows = [
        (
            one["state"]["from"],
            one["state"]["provider"],
            f"{one['likeness']:.2f}",
            _state(one["state"]),
            "" if one["recovered_after_s"] is None else f"{one['recovered_after_s']} s",
            one["opened_breakers"],
        )
        for one in incidents
    ]
    columns = ("from", "provider", "likeness", "state", "recovered after", "breakers opened")
    print_table(columns, rows, empty="no state like it is known")


@app.command(epilog="Example: interlock analytics savings acme --from 2026-03-01T00:00:00Z")
def savings(
    tenant: Tenant,
    start: Annotated[str | None, typer.Option("--from", help="Default: 7 days before the end.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Say what a tenant could have paid less, with the estimate and what it follows from."""
    query = {"tenant": tenant, "from": start, "to": end}
    answer = ApiClient(api).get("/v1/analytics/savings", **query)
    if as_json:
        print_json(answer)
        return
    say(f"{tenant}, {answer['from']} to {answer['to']}: {answer['calls']} calls, {answer['paid_usd']} USD")
    rows = [
        (
            one["kind"],
            one["deployment"],
            one["instead"],
            one["paid_usd"],
            one["estimate_usd"],
            one["says"],
        )
        for one in answer["savings"]
    ]
    print_table(
        ("kind", "now", "instead", "paid USD", "estimate USD", "why"), rows, empty="nothing to save was found"
    )
    _incomplete(answer)


def _peers(one: dict[str, Any]) -> str:
    if one["peers_factor"] is None:
        return "none to compare"
    return f"{'shared' if one['shared'] else 'not shared'} ({one['peers_factor']}x of {one['peers']})"


def _state(state: dict[str, Any]) -> str:
    wrong = ", ".join(f"{name} {count}" for name, count in state["outcomes"].items()) or "nothing wrong"
    return f"{state['failure_rate']:.1%} of {state['calls']} calls failed ({wrong}), {state['mean_ms']} ms"


def _incomplete(answer: dict[str, Any]) -> None:
    if not answer["complete"]:
        remark("There were more documents than are read for one answer: ask for a shorter time.")
