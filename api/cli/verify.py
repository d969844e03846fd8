"""`interlock verify`: each projection compared with a second, naive fold of the log at the same position vector."""

from __future__ import annotations

import typer

from api.cli import archive
from api.cli.verify_all import everything
from api.cli.verify_analytics import analytics
from api.cli.verify_history import history
from api.cli.verify_live import live

app = typer.Typer(invoke_without_command=True)
app.callback(epilog="Examples: interlock verify  ·  interlock verify --json  ·  interlock verify live")(
    everything
)
app.command(epilog="Examples: interlock verify live  ·  interlock verify live --partition 3 --repair --json")(
    live
)
app.command(epilog="Examples: interlock verify history  ·  interlock verify history --partition 3 --json")(
    history
)
app.command(
    epilog="Examples: interlock verify analytics  ·  interlock verify analytics --archive DIR --json"
)(analytics)
app.command("archive", epilog="Same as `interlock archive verify`.")(archive.verify)
