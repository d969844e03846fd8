"""`interlock breakers`: circuit breakers, and forcing them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.client import ApiClient, ApiUrl, AsOf, Generation, deployment_path
from api.cli.output import AsJson, print_facts, print_json, print_table, say

app = typer.Typer(help="Circuit breakers: list, show, override, clear.", no_args_is_help=True)

Deployment = Annotated[str, typer.Argument(help=r"provider/model\[@region]")]
Target = Annotated[
    str, typer.Argument(help=r"provider/model\[@region], or a provider for all its deployments.")
]
Actor = Annotated[str, typer.Option(envvar="USER", help="Who does it.")]


@app.command(
    "list", epilog="Examples: interlock breakers list  ·  interlock breakers list --state OPEN --json"
)
def list_breakers(
    *,
    provider: Annotated[str | None, typer.Option(help="Only those of this provider.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the breakers with their effective states."""
    filters = {"provider": provider, "state": state}
    answer = ApiClient(api).get("/v1/breakers", **filters, as_of=as_of, generation=generation)
    if as_json:
        print_json(answer)
        return
    rows = [
        (one["deployment"], one["state"], "yes" if one["admits"] else "no", one["open_until"], one["reason"])
        for one in answer["breakers"]
    ]
    print_table(
        ("deployment", "state", "admits", "open until", "reason"), rows, empty="no breaker is known yet"
    )


@app.command(epilog="Example: interlock breakers show openai/gpt-4o")
def show(
    deployment: Deployment,
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one breaker: why it is as it is, its figures, gates and override."""
    answer = ApiClient(api).get(deployment_path(deployment), as_of=as_of, generation=generation)
    print_breaker(answer, as_json=as_json)


@app.command(
    epilog="Example: interlock breakers override openai/gpt-4o FORCED_OPEN --reason maintenance --for-s 3600"
)
def override(
    *,
    target: Target,
    mode: Annotated[str, typer.Argument(help="FORCED_OPEN, DISABLED or METRICS_ONLY.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    actor: Actor = "operator",
    for_s: Annotated[int | None, typer.Option(min=1, help="Ends by itself after so many seconds.")] = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Force a breaker, or all of a provider."""
    body: dict[str, Any] = {"mode": mode.upper(), "actor": actor, "reason": reason, "expires_in_s": for_s}
    answer = ApiClient(api).put(deployment_path(target, "override"), body).json()
    _accepted(answer, f"{target} is forced: {mode.upper()}", as_json=as_json)


@app.command(epilog="Example: interlock breakers clear openai/gpt-4o --reason 'maintenance is over'")
def clear(
    target: Target,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    actor: Actor = "operator",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take an override away: the breaker is closed, with a fresh window."""
    answer = ApiClient(api).delete(deployment_path(target, "override"), actor=actor, reason=reason).json()
    _accepted(answer, f"{target} is free again", as_json=as_json)


def _accepted(answer: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        say(f"{text} (at {answer['positions']})")


def _counts(counts: dict[str, Any]) -> str:
    return (
        f"{counts['calls']} calls, {counts['failures']} failed, {counts['slow_calls']} slow, "
        f"{counts['consecutive_failures']} failures in a row"
    )


def print_breaker(one: dict[str, Any], *, as_json: bool) -> None:
    """One breaker as the API answers it."""
    if as_json:
        print_json(one)
        return
    window, gates, forced = one["window"], one["gates"], one["override"]
    print_facts(
        [
            ("deployment", one["deployment"]),
            ("state", f"{one['state']}, {'admits calls' if one['admits'] else 'admits nothing'}"),
            ("since", one["since"]),
            ("cause", one["cause"]),
            ("reason", one["reason"]),
            ("open until", one["open_until"]),
            ("trips", one["trips"]),
            ("epoch", one["epoch"]),
            ("at that change", one["cause"] and _counts(one["counts"])),
            ("in its window", window and _counts(window)),
            ("rate gate", gates["rate_limited_until"] and f"until {gates['rate_limited_until']}"),
            (
                "credential gate",
                gates["credential_refused_since"] and f"since {gates['credential_refused_since']}",
            ),
            ("override", forced and f"{forced['mode']} by {forced['actor']}: {forced['reason']}"),
            ("override ends", forced and forced["expires_at"]),
        ]
    )
