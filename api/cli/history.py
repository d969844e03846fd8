"""`interlock history`: what was, when and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from api.cli import history_schema, history_usage
from api.cli.client import ApiClient, ApiUrl, deployment_path, path_of
from api.cli.output import AsJson, print_facts, print_json, print_table, remark

app = typer.Typer(
    help="The history: calls, checks, transitions, decisions, alerts; usage over time; why a route.",
    no_args_is_help=True,
)

From = Annotated[str | None, typer.Option("--from", help="RFC 3339: from this instant on.")]
To = Annotated[str | None, typer.Option("--to", help="RFC 3339: before this instant; default: now.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most events, or groups.")]
Cursor = Annotated[str | None, typer.Option(help="`next` of the answer before.")]
Oldest = Annotated[str | None, typer.Option("--order", help="newest or oldest first.")]
OfTenant = Annotated[str | None, typer.Option(help="Only of this tenant.")]
OfProvider = Annotated[str | None, typer.Option(help="Only of this provider.")]
OfModel = Annotated[str | None, typer.Option(help="Only of this model.")]
OfUser = Annotated[str | None, typer.Option(help="Only of this user.")]

for command in (history_usage.series, history_usage.trends, history_usage.top, history_usage.cost):
    app.command(command.__name__, epilog=history_usage.EXAMPLES[command.__name__])(command)
app.command(epilog=history_schema.EXAMPLES)(history_schema.migrate)


@app.command(
    epilog="Example: interlock history usage --tenant acme --outcome TIMEOUT --from 2026-03-01T00:00:00Z"
)
def usage(
    *,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    model: OfModel = None,
    user: OfUser = None,
    outcome: Annotated[str | None, typer.Option(help="Only those that ended so.")] = None,
    request_id: Annotated[str | None, typer.Option(help="Only of this request.")] = None,
    start: From = None,
    end: To = None,
    order: Oldest = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List calls."""
    page = {"from": start, "to": end, "order": order, "limit": str(limit), "cursor": cursor}
    filters = {"tenant": tenant, "provider": provider, "model": model, "user": user}
    answer = ApiClient(api).get(
        path_of("history", "usage"),
        **page,
        **filters,
        outcome=outcome and outcome.upper(),
        request_id=request_id,
    )
    rows = [
        (
            one["occurred_at"],
            one["tenant"],
            one["user"],
            _deployment(one),
            one["outcome"],
            one["latency_ms"],
            one["input_tokens"],
            one["output_tokens"],
            one["cost_usd"],
            one["request_id"],
        )
        for one in answer["items"]
    ]
    columns = ("at", "tenant", "user", "deployment", "outcome", "ms", "in", "out", "USD", "request")
    _page(answer, columns, rows, as_json=as_json, empty="no calls in that time")


@app.command(epilog="Example: interlock history health --provider openai --status UNHEALTHY")
def health(
    *,
    provider: OfProvider = None,
    status: Annotated[str | None, typer.Option(help="Only with this verdict.")] = None,
    start: From = None,
    end: To = None,
    order: Oldest = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List health checks."""
    page = {"from": start, "to": end, "order": order, "limit": str(limit), "cursor": cursor}
    answer = ApiClient(api).get(
        path_of("history", "health"), **page, provider=provider, status=status and status.upper()
    )
    rows = [
        (one["occurred_at"], _deployment(one), one["status"], one["latency_ms"], one["error"])
        for one in answer["items"]
    ]
    columns = ("at", "of", "status", "ms", "error")
    _page(answer, columns, rows, as_json=as_json, empty="no health checks in that time")


@app.command(
    epilog="Examples: interlock history breakers --state OPEN  ·  interlock history breakers openai/gpt-4o"
)
def breakers(
    *,
    deployment: Annotated[str | None, typer.Argument(help=r"Only of provider/model\[@region].")] = None,
    provider: OfProvider = None,
    state: Annotated[str | None, typer.Option(help="Only those into this state.")] = None,
    start: From = None,
    end: To = None,
    order: Oldest = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List transitions of breakers: what happened, when and why."""
    page = {"from": start, "to": end, "order": order, "limit": str(limit), "cursor": cursor}
    client = ApiClient(api)
    if deployment is not None:
        if provider is not None or state is not None:
            raise typer.BadParameter("go with all breakers, not with one", param_hint="--provider, --state")
        answer = client.get(deployment_path(deployment, "history"), **page)
    else:
        path = path_of("history", "breakers")
        answer = client.get(path, **page, provider=provider, state=state and state.upper())
    rows = [
        (
            one["occurred_at"],
            one["deployment"],
            f"{one['from_state']} -> {one['to_state']}",
            one["cause"],
            one["reason"],
        )
        for one in answer["items"]
    ]
    columns = ("at", "deployment", "transition", "cause", "reason")
    _page(answer, columns, rows, as_json=as_json, empty="no transitions in that time")


@app.command(epilog="Example: interlock history routing --tenant acme --strategy priority")
def routing(
    *,
    tenant: OfTenant = None,
    provider: OfProvider = None,
    strategy: Annotated[str | None, typer.Option(help="Only by this strategy.")] = None,
    start: From = None,
    end: To = None,
    order: Oldest = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List routing decisions."""
    page = {"from": start, "to": end, "order": order, "limit": str(limit), "cursor": cursor}
    path = path_of("history", "routing")
    answer = ApiClient(api).get(path, **page, tenant=tenant, provider=provider, strategy=strategy)
    rows = [
        (
            one["occurred_at"],
            one["tenant"],
            one["request_id"],
            one["attempt"],
            _deployment(one) if one["provider"] else "nothing",
            one["strategy"],
        )
        for one in answer["items"]
    ]
    columns = ("at", "tenant", "request", "attempt", "chosen", "strategy")
    _page(answer, columns, rows, as_json=as_json, empty="no decisions in that time")


@app.command(epilog="Example: interlock history alerts --tenant acme")
def alerts(
    *,
    tenant: OfTenant = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    severity: Annotated[str | None, typer.Option(help="INFO, WARNING or CRITICAL.")] = None,
    start: From = None,
    end: To = None,
    order: Oldest = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List alerts."""
    page = {"from": start, "to": end, "order": order, "limit": str(limit), "cursor": cursor}
    filters = {"tenant": tenant, "kind": kind and kind.upper(), "severity": severity and severity.upper()}
    answer = ApiClient(api).get(path_of("history", "alerts"), **page, **filters)
    rows = [
        (one["occurred_at"], one["tenant"], one["severity"], one["subject"], one["title"])
        for one in answer["items"]
    ]
    columns = ("at", "tenant", "severity", "about", "title")
    _page(answer, columns, rows, as_json=as_json, empty="no alerts in that time")


@app.command(epilog="Example: interlock history decision r-1 --tenant acme")
def decision(
    request_id: Annotated[str, typer.Argument(help="Id of the request.")],
    tenant: OfTenant = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Explain a route: what was decided, what was known then, and the calls that followed."""
    answer = ApiClient(api).get(path_of("decisions", request_id), tenant=tenant)
    if as_json:
        print_json(answer)
        return
    for attempt in answer["attempts"]:
        decided = attempt["decision"]
        print_facts(
            [
                ("decided", decided["occurred_at"]),
                ("attempt", decided["attempt"]),
                ("chosen", attempt["chosen"] or "nothing"),
                ("strategy", decided["strategy"]),
                ("estimated USD", decided["estimated_cost_usd"]),
                ("falls back to", ", ".join(decided["fallback_chain"])),
            ]
        )
        rows = [_considered(one) for one in attempt["considered"]]
        columns = ("considered", "verdict", "as the router saw it", "as it was", "reason")
        print_table(columns, rows, empty="no candidates were recorded")
    rows = [
        (
            one["occurred_at"],
            _deployment(one),
            one["outcome"],
            one["latency_ms"],
            one["cost_usd"],
            one["error"],
        )
        for one in answer["calls"]
    ]
    print_table(("call", "deployment", "outcome", "ms", "USD", "error"), rows, empty="no call followed (yet)")


def _page(
    answer: dict[str, Any],
    columns: tuple[str, ...],
    rows: Sequence[Sequence[object]],
    *,
    as_json: bool,
    empty: str,
) -> None:
    if as_json:
        print_json(answer)
        return
    print_table(columns, rows, empty=empty)
    if answer["next"] is not None:
        remark(f"there are more: --cursor {answer['next']}")


def _considered(one: dict[str, Any]) -> tuple[object, ...]:
    breaker = one["breaker"]
    was = (breaker["state"], breaker["reason"]) if breaker else ("not known yet", "")
    return (one["deployment"], one["verdict"], one["breaker_state"], *was)


def _deployment(one: dict[str, Any]) -> str:
    name = f"{one['provider']}/{one['model']}" if one["model"] else str(one["provider"])
    return f"{name}@{one['region']}" if one["region"] else name
