"""The commands put together: one file per command group. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer

from api.cli import (
    analytics,
    archive,
    backfill,
    backtest,
    backup,
    breakers,
    budgets,
    dead_letters,
    demo,
    events,
    generations,
    history,
    migrate,
    providers,
    rebuild,
    reprice,
    restore,
    retention,
    schemas,
    serve,
    show,
    sink,
    status,
    topics,
    up,
    verify,
    work,
)

app = typer.Typer(
    name="interlock",
    help="The event-sourced state plane for AI-provider routing.",
    epilog="Settings: INTERLOCK_<SECTION>__<NAME> in the environment, or interlock.yaml. Start with `interlock up`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("work")(work.work)
app.command("sink")(sink.sink)
app.command("status")(status.status)
app.command("backtest")(backtest.backtest)
app.command("reprice")(reprice.reprice)
app.command("demo")(demo.demo)
app.add_typer(events.app, name="events")
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(breakers.app, name="breakers")
app.add_typer(budgets.app, name="budgets")
app.add_typer(providers.app, name="providers")
app.add_typer(show.app, name="show")
app.add_typer(history.app, name="history")
app.add_typer(analytics.app, name="analytics")
app.add_typer(archive.app, name="archive")
app.add_typer(backup.app, name="backup")
app.command("restore")(restore.restore)
app.add_typer(retention.app, name="retention")
app.add_typer(schemas.app, name="schemas")
app.add_typer(rebuild.app, name="rebuild")
app.command("backfill", epilog=backfill.EXAMPLES)(backfill.backfill)
app.add_typer(verify.app, name="verify")
app.add_typer(generations.app, name="generations")
app.add_typer(migrate.app, name="migrate")
