"""`interlock schemas`: the contract."""

from __future__ import annotations

import typer

from api.cli.output import AsJson, print_json, print_table

app = typer.Typer(help="The Avro schemas of the events.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group of its own, so that its one command keeps its name."""


@app.command("list", epilog="Example: interlock schemas list --json")
def list_schemas(as_json: AsJson = False) -> None:
    """List every version of every event type with its schema id."""
    from events.schemas import load_schemas

    rows = [
        {"event": one.name, "version": one.version, "schema_id": one.schema_id, "folder": one.folder}
        for versions in load_schemas().values()
        for one in versions
    ]
    if as_json:
        print_json(rows)
    else:
        columns = ("event", "version", "schema_id", "folder")
        print_table(columns, [[row[name] for name in columns] for row in rows], empty="no schemas")
