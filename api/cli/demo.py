"""`interlock demo`: real traffic, faults, and a proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.exits import CommandError, Exit, run


def demo(  # noqa: PLR0917 - each is an option of the command
    trace: Annotated[
        Path | None, typer.Option(help="Requests to replay (Azure LLM inference trace, CSV).")
    ] = None,
    incidents: Annotated[Path | None, typer.Option(help="Published outages to replay (CSV).")] = None,
    at: Annotated[
        str | None, typer.Option(help="Instant of the incidents' history to begin at, RFC 3339.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="Seed of all that is made up.")] = None,
    speed: Annotated[
        str | None, typer.Option(help="Seconds of history per second; without it the traffic takes 50 s.")
    ] = None,
    minutes: Annotated[
        str | None, typer.Option(help="Minutes of history to play; without it all of the trace.")
    ] = None,
    gateways: Annotated[str | None, typer.Option(help="Gateway processes, at least 3.")] = None,
    workers: Annotated[
        str | None, typer.Option(help="Worker processes, at least 2; one gets killed.")
    ] = None,
    report: Annotated[Path, typer.Option(help="Where the report is written as JSON.")] = Path(
        "demo-report.json"
    ),
) -> None:
    """Run gateways and workers, kill one, flush Redis, and prove that nothing was lost or doubled.

    Example: interlock demo --trace azure.csv --incidents incidents.csv --at 2023-11-08T13:30Z
    """
    from demo import main
    from demo.errors import BadInputError
    from demo.options import DemoOptions

    given = {
        "trace": trace,
        "incidents": incidents,
        "at": at,
        "seed": seed,
        "speed": speed,
        "minutes": minutes,
    }
    try:
        options = DemoOptions.of(**given, gateways=gateways, workers=workers, report=report)
        code = run(main.run(options))
    except BadInputError as error:
        raise CommandError(str(error), Exit.USAGE) from None
    raise typer.Exit(code)
