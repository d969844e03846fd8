"""`interlock reprice`: recorded usage at other prices, as adjustments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_facts, print_json, print_table, remark, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.settings import Settings
    from processors.backtest.prices import Prices
    from processors.reprice.proof import TenantProof
    from processors.reprice.run import Plan, Reprice, Row
    from processors.reprice.scope import Scope
    from projections.settings import LiveSettings

    Proven = Mapping[str, TenantProof]

SHOWN = 50
"""Rows of a table for people; --json tells all."""


def reprice(
    *,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="YAML file whose `prices` are taken, as a backtest takes them: docs/backtest.md. "
            "Default: the installed price list, for all calls that it knows."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Calls from this RFC 3339 time on. Default: all."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to, without it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Calls of this tenant only.")] = None,
    provider: Annotated[str | None, typer.Option(help="Calls to this provider only.")] = None,
    model: Annotated[str | None, typer.Option(help="Calls to this model only.")] = None,
    archive: Annotated[
        Path | None,
        typer.Option(help="Archive of this log: read where the log no longer reaches back."),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Append the adjustments, and prove the sums.")
    ] = False,
    actor: Annotated[str, typer.Option(envvar="USER", help="Who does it.")] = "operator",
    reason: Annotated[str, typer.Option(help="Why; stands in every adjustment.")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell what recorded calls cost at other prices. With --apply, append the differences as adjustments.

    Nothing that was recorded is changed. Run again, also after it was interrupted, it appends only what is missing.

    Examples: interlock reprice --policy prices.yaml --from 2026-03-01T00:00:00Z  ·  interlock reprice --policy prices.yaml
    --provider openai --apply --reason "list price of March"
    """
    from api.settings import load_settings
    from processors.reprice.scope import Scope

    scope = Scope(_instant(start, "--from"), _instant(end, "--to"), tenant, provider, model)
    if scope.from_us is not None and scope.to_us is not None and scope.from_us >= scope.to_us:
        raise CommandError("--from has to lie before --to", Exit.USAGE)
    if archive is not None and not archive.is_dir():
        raise CommandError(f"no archive in {archive}: name the folder of one", Exit.NOT_FOUND)
    prices, settings = _prices(policy), load_settings()
    work = _work(settings, prices, scope, archive)
    plan, proven = run(_applied(settings.live, work, actor, reason)) if apply else (run(_plan(work)), None)
    if as_json:
        print_json(_document(plan, proven))
    else:
        _show(plan, proven)
    if proven and not all(one.holds for one in proven.values()):
        raise CommandError(
            "the live state has not come to the sums that follow from the log: run `interlock verify live`"
        )


def _instant(text: str | None, option: str) -> int | None:
    from api.rfc3339 import parse_time_us

    try:
        return None if text is None else parse_time_us(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _prices(path: Path | None) -> Prices:
    from api.backtest.policy_file import load_policy
    from processors.backtest.prices import Prices

    if path is None:
        return Prices(from_list=True)
    found = load_policy(path).prices
    if found is None:
        raise CommandError(f"{path} has no `prices`: add them, see docs/backtest.md", Exit.USAGE)
    return found


def _work(settings: Settings, prices: Prices, scope: Scope, archive: Path | None) -> Reprice:
    from api.cli.garbage import collect_seldom
    from events.codec import open_codec
    from events.reader import LogReader
    from processors.rebuild.archived_log import ArchivedLog
    from processors.reprice.run import Reprice
    from projections.archive.source import ArchiveSource

    collect_seldom()
    log = settings.log
    source = LogReader(log) if archive is None else ArchivedLog(log, ArchiveSource(archive))
    return Reprice(log, source, open_codec(log), prices, scope)


async def _plan(work: Reprice) -> Plan:
    from api.cli.bar import counted

    with counted("reading", "records") as bar:
        return await work.plan(lambda done, total: bar(done, total, done))


async def _applied(live: LiveSettings, work: Reprice, actor: str, reason: str) -> tuple[Plan, Proven]:
    from api.cli.bar import counted
    from events.publisher import Publisher
    from processors.reprice.proof import Proof
    from projections.errors import LaggingError
    from projections.live.lock import RepriceLock
    from projections.live.store import LiveStore

    async def alone() -> tuple[Plan, Proven]:
        plan = await _plan(work)
        proof = Proof(work.log, work.source, work.codec, store, plan.posted)
        try:
            await proof.begin(plan.adjustments)
        except LaggingError as error:
            raise CommandError(
                f"nothing was appended: the workers are behind ({error})", Exit.UNAVAILABLE
            ) from error
        with counted("appending", "adjustments") as bar:
            positions = await work.apply(
                plan, publisher, actor, reason, lambda done, total: bar(done, total, done)
            )
        try:
            return plan, await proof.end(positions)
        except LaggingError as error:
            raise CommandError(
                f"{plan.total.adjusted} adjustments are on the log and not folded yet ({error}): "
                "see that workers run, then prove the sums with `interlock verify live`",
                Exit.UNAVAILABLE,
            ) from error

    async with (
        LiveStore(live) as store,
        RepriceLock(store.connection, live.namespace) as lock,
        Publisher(work.log, work.codec) as publisher,
    ):
        return await lock.during(alone)


def _document(plan: Plan, proven: Proven | None) -> dict[str, Any]:
    """All that was found, for programs; money is a text."""
    from events.money import format_usd

    return {
        "applied": proven is not None,
        "read": {
            f"{topic}-{number}": [held.start, held.end]
            for topic, ranges in (("usage", plan.usage), ("adjustments", plan.adjustments))
            for number, held in sorted(ranges.items())
        },
        "refused": plan.refused,
        "duplicates": plan.duplicates,
        "total": _row(plan.total),
        "rows": [
            {"tenant": tenant, "provider": provider, "model": model} | _row(row)
            for (tenant, provider, model), row in sorted(plan.rows.items())
        ],
        "proof": [
            {
                "tenant": tenant,
                "before_usd": format_usd(one.before),
                "meanwhile_usd": format_usd(one.meanwhile),
                "difference_usd": format_usd(one.difference),
                "after_usd": format_usd(one.after),
                "holds": one.holds,
            }
            for tenant, one in (proven or {}).items()
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    from events.money import format_usd

    return {
        "calls": row.calls,
        "adjusted": row.adjusted,
        "before_usd": format_usd(row.before_nano_usd),
        "after_usd": format_usd(row.after_nano_usd),
        "difference_usd": format_usd(row.difference_nano_usd),
    }


def _show(plan: Plan, proven: Proven | None) -> None:
    from events.money import format_usd

    for number in plan.cut_off:
        remark(
            f"usage-{number} begins at {plan.usage[number].start}: older calls were not looked at; --archive reads them"
        )
    columns = (
        "tenant",
        "provider",
        "model",
        "calls",
        "adjusted",
        "before USD",
        "after USD",
        "difference USD",
    )
    rows = [(*key, *_row(row).values()) for key, row in sorted(plan.rows.items())]
    print_table(columns, rows[:SHOWN], empty="there were no calls")
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN} more: --json tells them")
    total = plan.total
    print_facts(
        [
            ("calls", f"{total.calls}, {total.adjusted} of them adjusted"),
            ("difference", f"{format_usd(total.difference_nano_usd)} USD"),
        ]
    )
    if proven is None:
        say(
            "Nothing was written: --apply appends the adjustments."
            if total.adjusted
            else "Nothing to adjust."
        )
        return
    say(f"\n{total.adjusted} adjustments appended. Spent on the days that they are posted to, USD:")
    print_table(
        ("tenant", "before", "used meanwhile", "difference", "after", ""),
        [
            (
                tenant,
                *(format_usd(value) for value in (one.before, one.meanwhile, one.difference, one.after)),
                "proven" if one.holds else "DIFFERS",
            )
            for tenant, one in proven.items()
        ],
        empty="nothing changed",
    )
