"""`interlock demo`: real traffic, faults, and a proof."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from api.cli.exits import CommandError, Exit, run


def demo(
    *,
    trace: Annotated[
        Path | None, typer.Option(help="Requests to replay: an Azure LLM inference trace, CSV.")
    ] = None,
    incidents: Annotated[
        Path | None, typer.Option(help="Published outages to replay, CSV; needs --at.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="Instant of history to play from, RFC 3339.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is made up.")] = None,
    speed: Annotated[float | None, typer.Option(help="Seconds of history in a second.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of history to play.")] = None,
    gateways: Annotated[int | None, typer.Option(help="Gateway processes.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; one gets killed.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where the table is written as JSON.")] = None,
) -> None:
    """Run gateways and workers, kill a worker, flush Redis, and prove that nothing was lost or doubled.

    Exit code 1 when anything is unequal. Example: interlock demo --trace azure.csv --seed 3
    """
    # The demo stands above the API and runs it as any user does; this command only opens its door.
    main, options, errors = (import_module(f"demo.{name}") for name in ("main", "options", "errors"))
    given = {
        "trace": trace,
        "incidents": incidents,
        "at": at,
        "seed": seed,
        "speed": speed,
        "minutes": minutes,
        "gateways": gateways,
        "workers": workers,
        "report": report,
    }
    try:
        code = run(main.run(options.DemoOptions.of(**given)))
    except errors.BadInputError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    raise typer.Exit(code)
