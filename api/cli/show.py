"""`interlock show`: one breaker, budget or provider, now or as it was, and where the answer comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.breakers import print_breaker
from api.cli.budgets import print_budget
from api.cli.client import ApiClient, ApiUrl, Generation, deployment_path, path_of
from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_json, remark

if TYPE_CHECKING:
    from api.settings import Settings

app = typer.Typer(help="Show one state, now or as it was: breaker, budget, provider.", no_args_is_help=True)

AsOf = Annotated[
    str | None,
    typer.Option(help="RFC 3339: as it was then, from the history, else from a generation as of that time."),
]


@app.command(epilog="Example: interlock show breaker openai/gpt-4o --as-of 2026-03-01T14:05:00Z")
def breaker(
    deployment: Annotated[str, typer.Argument(help=r"provider/model\[@region]")],
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a breaker."""
    path = deployment_path(deployment)
    print_breaker(_answer(ApiClient(api), path, as_of, generation, in_history=True), as_json=as_json)


@app.command(epilog="Example: interlock show budget acme/monthly --as-of 2026-03-01T14:05:00Z")
def budget(
    budget_id: Annotated[str, typer.Argument(metavar="TENANT/BUDGET", help="Tenant and name of the budget.")],
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a budget."""
    tenant, slash, name = budget_id.partition("/")
    if not slash:
        raise typer.BadParameter(
            "must be tenant/budget, for example acme/monthly", param_hint="TENANT/BUDGET"
        )
    path = path_of("budgets", tenant, name)
    print_budget(_answer(ApiClient(api), path, as_of, generation, in_history=True), as_json=as_json)


@app.command(epilog="Example: interlock show provider openai --as-of 2026-03-01T14:05:00Z")
def provider(
    name: Annotated[str, typer.Argument(metavar="PROVIDER", help="Provider, for example openai.")],
    as_of: AsOf = None,
    generation: Generation = None,
    api: ApiUrl = None,
) -> None:
    """Show a provider's settings, as JSON. The history cannot be asked for them: a generation is."""
    path = path_of("providers", name)
    print_json(_answer(ApiClient(api), path, as_of, generation, in_history=False))


def _answer(
    client: ApiClient, path: str, as_of: str | None, generation: int | None, *, in_history: bool
) -> dict[str, Any]:
    """The answer, after a remark on where it is from."""
    if as_of is not None and generation is not None:
        raise typer.BadParameter(
            "goes without --as-of: a generation has its own time", param_hint="--generation"
        )
    away = ""
    if as_of is not None and in_history:
        try:
            found: dict[str, Any] = client.get(path, as_of=as_of)
        except CommandError as error:
            if error.code is not Exit.UNAVAILABLE:
                raise
            away = f" ({error})"
        else:
            remark(f"from the history, as of {as_of}")
            return found
    if as_of is not None:
        generation = _generation_of(as_of, away)
    found = client.get(path, generation=generation)
    if generation is not None:
        remark(f"from generation {generation}" + (f", as of {as_of}{away}" if as_of else ""))
    return found


def _generation_of(as_of: str, away: str) -> int:
    """The generation that was built until then; a CommandError says how to build it."""
    from api.rfc3339 import parse_time_us
    from api.settings import load_settings

    try:
        time_us = parse_time_us(as_of)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--as-of") from None
    found = run(_built_until(load_settings(), time_us))
    if found is None:
        raise CommandError(
            f"no generation is as of {as_of}{away}: build it with `interlock rebuild live --until {as_of}`, then ask again",
            Exit.NOT_FOUND,
        )
    return found


async def _built_until(settings: Settings, time_us: int) -> int | None:
    """The newest that was built whole until that time, and not by positions."""
    from projections.live.generations import Generations, Stage
    from projections.live.store import LiveStore

    async with LiveStore(settings.live) as store:
        known = await Generations(store.connection, settings.live.namespace).known()
    fitting = [
        number
        for number, one in known.items()
        if one.stage is Stage.AS_OF and one.until and one.until.time_us == time_us and not one.until.positions
    ]
    return fitting[-1] if fitting else None
