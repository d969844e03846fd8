"""`interlock budgets`: what may be spent, and how much of it is gone."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.client import ApiClient, ApiUrl, AsOf, Generation, path_of
from api.cli.output import AsJson, print_facts, print_json, print_table, say

app = typer.Typer(help="Budgets: list, show, set, remove.", no_args_is_help=True)

Tenant = Annotated[str, typer.Argument(help="Tenant.")]
BudgetId = Annotated[str, typer.Argument(help="Name of the budget within the tenant.")]
Actor = Annotated[str, typer.Option(envvar="USER", help="Who does it.")]
Reason = Annotated[str, typer.Option(help="Why.")]
PAGE = "1000"


@app.command("list", epilog="Examples: interlock budgets list  ·  interlock budgets list acme --json")
def list_budgets(
    tenant: Annotated[str | None, typer.Argument(help="Only those of this tenant.")] = None,
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the budgets with what was spent in their present periods."""
    found = _all(ApiClient(api), tenant, as_of, generation)
    if as_json:
        print_json({"budgets": found})
        return
    rows = [
        (
            f"{one['tenant']}/{one['budget_id']}",
            _scope(one),
            one["period"],
            one["spent_usd"],
            one["limit_usd"],
            one["remaining_usd"],
            one["state"],
        )
        for one in found
    ]
    columns = ("budget", "of", "period", "spent USD", "limit USD", "remaining USD", "state")
    print_table(columns, rows, empty="no budget is set")


@app.command(epilog="Example: interlock budgets show acme monthly")
def show(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one budget."""
    path = path_of("budgets", tenant, budget_id)
    print_budget(ApiClient(api).get(path, as_of=as_of, generation=generation), as_json=as_json)


def print_budget(one: dict[str, Any], *, as_json: bool) -> None:
    """One budget as the API answers it."""
    if as_json:
        print_json(one)
    else:
        print_facts((name.replace("_", " "), value) for name, value in one.items())


@app.command(
    "set",
    epilog="Example: interlock budgets set acme search 250.00 --level TEAM --subject search --zone Europe/Berlin",
)
def set_budget(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    limit_usd: Annotated[str, typer.Argument(help="Limit of one period, US dollars, for example 250.00.")],
    period: Annotated[str, typer.Option(help="HOUR, DAY, WEEK, MONTH, QUARTER, YEAR or ROLLING.")] = "MONTH",
    rolling_hours: Annotated[int | None, typer.Option(help="Length of a ROLLING period.")] = None,
    zone: Annotated[str, typer.Option(help="IANA time zone.")] = "UTC",
    level: Annotated[str, typer.Option(help="TENANT, ORG, TEAM, USER or KEY.")] = "TENANT",
    subject: Annotated[str | None, typer.Option(help="Id of the org, team, user or key.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only calls to this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only calls to this model of the provider.")] = None,
    enforcement: Annotated[
        str,
        typer.Option(help="`hard` tells gateways to deny calls once it is exhausted, `soft` only alerts."),
    ] = "hard",
    alert_at: Annotated[str, typer.Option(help="Soft limits, percent, with commas between.")] = "50,80,100",
    rollover_cap_usd: Annotated[str, typer.Option(help="Most that rolls over to the next period.")] = "0",
    actor: Actor = "operator",
    reason: Reason = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set a budget, whole."""
    if enforcement not in ("hard", "soft"):
        raise typer.BadParameter("must be hard or soft", param_hint="--enforcement")
    percents = [part.strip() for part in alert_at.split(",") if part.strip()]
    if not all(part.isdecimal() for part in percents):
        raise typer.BadParameter("must be whole percents with commas between", param_hint="--alert-at")
    body = {
        "limit_usd": limit_usd,
        "period": period.upper(),
        "rolling_hours": rolling_hours,
        "zone": zone,
        "level": level.upper(),
        "subject": subject,
        "provider": provider,
        "model": model,
        "hard": enforcement == "hard",
        "soft_limits_percent": [int(part) for part in percents],
        "rollover_cap_usd": rollover_cap_usd,
        "actor": actor,
        "reason": reason,
    }
    answer = ApiClient(api).put(path_of("budgets", tenant, budget_id), body).json()
    _accepted(answer, f"{tenant}/{budget_id} is set to {limit_usd} USD", as_json=as_json)


@app.command(epilog="Example: interlock budgets remove acme search --reason 'project ended'")
def remove(
    *,
    tenant: Tenant,
    budget_id: BudgetId,
    actor: Actor = "operator",
    reason: Reason = "",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove a budget; what was spent stays known."""
    answer = ApiClient(api).delete(path_of("budgets", tenant, budget_id), actor=actor, reason=reason).json()
    _accepted(answer, f"{tenant}/{budget_id} is removed", as_json=as_json)


def _all(
    client: ApiClient, tenant: str | None, as_of: str | None, generation: int | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]]
    if tenant is not None:
        found = client.get(path_of("budgets", tenant), as_of=as_of, generation=generation)["budgets"]
        return found
    found, after = [], None
    while True:
        page = client.get("/v1/budgets", limit=PAGE, after=after, as_of=as_of, generation=generation)
        found += page["budgets"]
        after = page["next"]
        if after is None:
            return found


def _scope(one: dict[str, Any]) -> str:
    whose = "tenant" if one["level"] == "TENANT" else f"{one['level'].lower()} {one['subject']}"
    narrowed = "/".join(filter(None, (one["provider"], one["model"])))
    return f"{whose} at {narrowed}" if narrowed else whose


def _accepted(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        say(f"{text}, version {answer['version']} (at {answer['positions']})")
