"""`interlock backtest`: what was recorded, decided again under other breaker policies, budgets or prices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.garbage import collect_seldom
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.backtest.outcome import Outcome
    from processors.backtest.policy import TriedPolicy
    from processors.backtest.run import Source

SHOWN = 20
"""Rows of each table for people; --json and the report tell more."""

Instant = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME|POSITION",
        help="The policy holds from this RFC 3339 time on, or from the time of the record at a position, usage-0:1042. "
        "Before it all is as recorded. Default: the beginning of the log.",
    ),
]


def backtest(
    *,
    policy: Annotated[Path, typer.Option(help="YAML file of what is tried; see docs/backtest.md.")],
    start: Instant = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME|POSITION", help="Up to, without it. Default: the end of the log."),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(help="Read the archive in this folder instead of the log: it reaches further back."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with plots to this HTML file; it needs nothing else.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide again over what is on the log or in the archive, with other settings, and tell what would have been otherwise.

    Nothing is changed: not the log, not the live state.

    Examples: interlock backtest --policy new.yaml --report report.html  ·  interlock backtest --policy new.yaml
    --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z --json
    """
    from api.backtest.document import document
    from api.backtest.page import page
    from api.backtest.policy_file import load_policy
    from api.settings import load_settings
    from projections.errors import ProjectionError

    tried = load_policy(policy)
    if report is not None and not report.absolute().parent.is_dir():
        raise CommandError(f"{report} cannot be written: there is no folder {report.parent}", Exit.USAGE)
    if archive is not None and not archive.is_dir():
        raise CommandError(f"no archive in {archive}: name the folder of one", Exit.NOT_FOUND)
    try:
        outcome = run(_backtest(load_settings(), tried, archive, start, end))
    except ProjectionError as error:
        # Of all that a backtest reads, only an archive can be damaged.
        raise CommandError(str(error), Exit.REFUSED) from None
    if report is not None:
        report.write_text(page(outcome, policy.name), encoding="utf-8")
        remark(f"the report is in {report}")
    found = document(outcome)
    if as_json:
        print_json(found)
    else:
        _show(outcome, found)


async def _backtest(
    settings: Settings, tried: TriedPolicy, archive: Path | None, start: str | None, end: str | None
) -> Outcome:
    from api.cli.bar import counted
    from events.codec import open_codec
    from events.reader import LogReader
    from processors.backtest.run import Backtest
    from projections.archive.source import ArchiveSource

    collect_seldom()
    log = settings.log
    codec = open_codec(log)
    source: Source = LogReader(log) if archive is None else ArchiveSource(archive)
    from_us = await _instant_us(source, start, "--from")
    to_us = await _instant_us(source, end, "--to")
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise CommandError("--from has to lie before --to", Exit.USAGE)
    with counted("reading", "records") as bar:
        return await Backtest(
            log, source, codec, tried, from_us, to_us, lambda done, total: bar(done, total, done)
        ).run()


async def _instant_us(source: Source, text: str | None, option: str) -> int | None:
    from api.cli.until import parse_until
    from events.positions import Position
    from events.until import UntilTime
    from processors.backtest.run import time_of

    if text is None:
        return None
    asked = parse_until(text, option)
    if isinstance(asked, UntilTime):
        return asked.time_us
    if len(asked.vector) > 1:
        raise typer.BadParameter("give one position: its record's time is meant", param_hint=option)
    [(place, offset)] = asked.vector.items()
    return await time_of(source, Position(place.topic, place.number, offset))


def _show(outcome: Outcome, found: dict[str, Any]) -> None:
    say(
        "The policy would have changed nothing."
        if outcome.changes_nothing
        else "The policy would have decided otherwise."
    )
    if not outcome.is_reproduced:
        strange = found["reproduced"]
        remark(
            f"{strange['transitions']} transitions and {strange['alerts']} alerts are not what the recorded settings lead to "
            "when they are applied again: see docs/backtest.md; --json lists them"
        )
    _show_breakers(outcome, found["breakers"])
    _show_downtime(found["downtime"])
    _show_budgets(found["budgets"])
    _show_costs(found["costs"])


def _show_breakers(outcome: Outcome, breakers: dict[str, Any]) -> None:
    from api.backtest.document import changed_cells, changes

    rows = [changed_cells(sign, event) for sign, event in changes(outcome)[:SHOWN]]
    _titled("Breaker transitions")
    columns = ("", "when", "deployment", "transition", "cause", "why")
    print_table(columns, rows, empty=f"the same {breakers['same']}, none added or removed")
    _more(breakers["added"] + breakers["removed"] - len(rows))
    _titled("Calls")
    print_table(
        ("would have been", "calls", "failed", "others"),
        [
            (name, one["calls"], one["failed"], one["others"])
            for name, one in breakers["calls"].items()
            if one["calls"]
        ],
        empty="there were none",
    )


def _show_downtime(downtime: list[dict[str, Any]]) -> None:
    rows = [
        (one["model"], len(one["deployments"]), one["recorded_s"], one["tried_s"])
        for one in downtime
        if one["recorded_s"] or one["tried_s"]
    ]
    _titled("Downtime, as users see it")
    print_table(("model", "deployments", "recorded s", "tried s"), rows[:SHOWN], empty="none")
    _more(len(rows) - SHOWN)


def _show_budgets(budgets: dict[str, Any]) -> None:
    from api.backtest.document import alert_rows

    alerts = alert_rows(budgets["alerts"])
    _titled("Budget alerts")
    columns = ("", "when", "it was", "budget", "reached", "spent USD", "limit USD")
    same = budgets["alerts"]["same"]
    print_table(columns, alerts[:SHOWN], empty=f"the same {same}, none added, removed or moved")
    _more(len(alerts) - SHOWN)
    over = [
        (one["at"], side, f"{one['tenant']}/{one['budget_id']}", one["limit_usd"], one["over_usd"])
        for side in ("recorded", "tried")
        for one in budgets["overruns"][side]
    ]
    _titled("Periods spent whole")
    print_table(("when", "", "budget", "limit USD", "over USD"), over[:SHOWN], empty="none")
    _more(len(over) - SHOWN)


def _show_costs(costs: dict[str, Any]) -> None:
    rows = [
        (
            f"{one['provider']}/{one['model']}",
            one["calls"],
            one["recorded_usd"],
            one["tried_usd"],
            one["difference_usd"],
        )
        for one in costs["by_model"]
    ]
    _titled("Cost")
    columns = ("model", "calls", "recorded USD", "tried USD", "difference USD")
    print_table(columns, rows[:SHOWN], empty="there were no calls")
    _more(len(rows) - SHOWN)
    total = costs["total"]
    print_facts([("total", f"{total['recorded_usd']} USD, tried {total['tried_usd']} USD")])


def _titled(text: str) -> None:
    say(f"\n{text}")


def _more(left: int) -> None:
    if left > 0:
        say(f"and {left} more: --json and --report tell them")
