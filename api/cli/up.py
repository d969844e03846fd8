"""`interlock up`: everything on this machine, out of wheels."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.exits import CommandError, Exit
from api.cli.output import AsJson, aside, print_json_line, remark, say

if TYPE_CHECKING:
    from api.addresses import Addresses
    from api.supervisor import Supervisor

PARTS = ("postgres", "chroma")


def up(
    data: Annotated[
        Path, typer.Option(envvar="INTERLOCK_DATA", help="Folder of the servers' data and logs.")
    ] = Path(".interlock"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of the API, 0 for a free one; default: the setting api.port."
        ),
    ] = None,
    also: Annotated[
        str,
        typer.Option(
            help="Servers beside the log and the live store, with commas between; `none` for no other."
        ),
    ] = ",".join(PARTS),
    as_json: AsJson = False,
) -> None:
    """Start the embedded servers, workers and the API; Ctrl-C stops them all, a second one at once.

    The other commands find what runs from here without flags. Example: interlock up --workers 2 --port 0
    """
    from api.logs import set_up_logging
    from api.settings import load_settings
    from api.supervisor import FAILURES, Plan, Supervisor
    from embedded.errors import FolderInUseError
    from embedded.stack import Part

    chosen = [] if also == "none" else [name for name in also.split(",") if name]
    if unknown := set(chosen) - set(PARTS):
        raise CommandError(f"--also knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}", Exit.USAGE)
    settings = load_settings()
    set_up_logging("WARNING")
    if port is not None:
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"port": port})})
    plan = Plan(data.resolve(), settings, workers, frozenset(Part(name) for name in chosen))
    supervisor = Supervisor(plan, remark)
    try:
        asyncio.run(_run(supervisor, as_json=as_json))
    except FolderInUseError as error:
        raise CommandError(str(error), Exit.REFUSED) from None
    except FAILURES as error:
        remark(str(error))
        raise CommandError("a part failed, so everything was stopped", Exit.FAILED) from None


async def _run(supervisor: Supervisor, *, as_json: bool) -> None:
    with aside.status("starting the servers, the workers and the API") as spinner:

        def ready(addresses: Addresses) -> None:
            spinner.stop()
            if as_json:
                print_json_line({"api": addresses.api_url, **addresses.servers})
            else:
                _show(addresses)

        await supervisor.run(ready)
    remark("everything has stopped")


def _show(addresses: Addresses) -> None:
    from api.cli.output import print_table

    rows = [
        ("API", addresses.api_url, "documentation at /docs"),
        *((name, address, _WHAT[name]) for name, address in addresses.servers.items()),
    ]
    print_table(("part", "address", ""), rows, empty="")
    say("Ctrl-C stops everything. Try `interlock status` in another terminal.")


_WHAT = {
    "log": "Kafka protocol, in memory",
    "live": "Redis protocol, in memory",
    "history": "PostgreSQL",
    "analytics": "Chroma",
}
