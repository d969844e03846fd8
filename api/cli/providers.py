"""`interlock providers`: their settings, and how they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from api.cli.client import ApiClient, ApiUrl, Generation, path_of
from api.cli.exits import CommandError, Exit
from api.cli.output import AsJson, people, print_json, print_table, say

app = typer.Typer(help="Providers: list, show, health, set.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(help="Provider, for example openai.")]


@app.command("list", epilog="Example: interlock providers list --json")
def list_providers(generation: Generation = None, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """List the providers that were set or seen in traffic."""
    answer = ApiClient(api).get("/v1/providers", generation=generation)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            one["provider"],
            one["version"],
            "yes" if one["enabled"] else "no",
            one["priority"],
            ", ".join(one["deployments"]),
        )
        for one in answer["providers"]
    ]
    print_table(
        ("provider", "version", "enabled", "priority", "deployments"), rows, empty="no provider is known yet"
    )


@app.command(epilog="Example: interlock providers show openai")
def show(provider: Provider, generation: Generation = None, api: ApiUrl = None) -> None:
    """Print a provider's settings as JSON; edited, they can be given to `set`."""
    print_json(ApiClient(api).get(path_of("providers", provider), generation=generation))


@app.command(epilog="Example: interlock providers health openai")
def health(
    provider: Provider, generation: Generation = None, api: ApiUrl = None, as_json: AsJson = False
) -> None:
    """Show the health of a provider and of its deployments."""
    answer = ApiClient(api).get(path_of("providers", provider, "health"), generation=generation)
    if as_json:
        print_json(answer)
        return
    say(f"{provider}: {answer['status']} {'; '.join(answer['reasons'])}")
    rows = [_row(one) for one in answer["deployments"]]
    columns = ("deployment", "status", "success 5m", "calls 5m", "latency ms", "in a row", "last error")
    print_table(columns, rows, empty="no deployment was seen yet")


@app.command("set", epilog="Example: interlock providers set openai settings.json")
def set_provider(
    provider: Provider,
    file: Annotated[
        Path, typer.Argument(help="The settings, whole, as JSON; see PUT /v1/providers in the API.")
    ],
    actor: Annotated[str, typer.Option(envvar="USER", help="Who does it.")] = "operator",
    api: ApiUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set a provider: models, priority, breaker policies."""
    body = _settings(file)
    answer = ApiClient(api).put(path_of("providers", provider), body | {"actor": actor}).json()
    if as_json:
        print_json(answer)
    else:
        people.print(
            f"{provider} is set, version {answer['version']} (at {answer['positions']})", markup=False
        )


_SHOWN_ONLY = ("provider", "version", "deployments", "changed_at")


def _settings(file: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", Exit.USAGE) from None
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{file} is not JSON: {error}", Exit.USAGE) from None
    if not isinstance(content, dict):
        raise CommandError(f"{file} must hold a JSON object with the provider's settings", Exit.USAGE)
    return {name: value for name, value in content.items() if name not in _SHOWN_ONLY}


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    window = one["windows"]["5m"]
    rate = "" if window["success_rate"] is None else f"{window['success_rate']:.1%}"
    latency = "" if one["latency_ms"] is None else f"{one['latency_ms']:.0f}"
    error = one["last_error"]
    text = f"{error['kind']} {error['text'] or ''}" if error else ""
    return one["deployment"], one["status"], rate, window["calls"], latency, one["consecutive_failures"], text
