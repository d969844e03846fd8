"""`interlock backup`: copies of the log up to one point, and proof that they can be put back."""

from __future__ import annotations

import typer

from api.cli.backup_create import create
from api.cli.backup_drill import drill
from api.cli.backup_restore import restore
from api.cli.backup_show import list_backups, verify

app = typer.Typer(help="Backups of the log: create, list, verify, restore, drill.", no_args_is_help=True)
app.command(
    epilog="Examples: interlock backup create --to /srv/backups --keep 48  ·  interlock backup create --to DIR --full"
)(create)
app.command("list", epilog="Example: interlock backup list --from /srv/backups --json")(list_backups)
app.command(epilog="Example: interlock backup verify --from /srv/backups")(verify)
app.command(
    epilog="Example: INTERLOCK_LOG__BOOTSTRAP=kafka:9092 interlock backup restore --from /srv/backups --dry-run"
)(restore)
app.command(epilog="Example: interlock backup drill --from /srv/backups --json")(drill)
