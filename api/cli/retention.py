"""`interlock retention`: what may go of each store, and letting it go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_json, print_table, progress, say

if TYPE_CHECKING:
    from api.settings import Settings
    from projections.retention.apply import Outcome
    from projections.retention.inventory import Stores
    from projections.retention.policy import Policies
    from projections.retention.steps import AnyStep, Plan

app = typer.Typer(help="What may go of each store: plan it, apply it.", no_args_is_help=True)

Only = Annotated[
    list[str] | None, typer.Option("--policy", help="Only this policy, by its name; may be given again.")
]


@app.command(
    epilog="Examples: interlock retention plan  ·  interlock retention plan --policy raw-usage --json"
)
def plan(only: Only = None, as_json: AsJson = False) -> None:
    """Say what would go, how much, and what is held back and why. Changes nothing."""
    from api.settings import load_settings

    settings = load_settings()
    with progress("looking at the stores", None):
        found = run(_planned(settings, _policies(settings, only)))
    _show(found, as_json=as_json)


@app.command(epilog="Examples: interlock retention apply  ·  interlock retention apply --yes --json")
def apply(
    only: Only = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    actor: Annotated[str, typer.Option(envvar="USER", help="Who does it; noted on the log.")] = "operator",
    as_json: AsJson = False,
) -> None:
    """Carry the plan out, step by step, each with an event on the audit topic. Interrupted, it goes on when run again."""
    from api.settings import load_settings

    settings = load_settings()
    policies = _policies(settings, only)
    if as_json and not yes:
        raise CommandError("--json asks nothing: add --yes", Exit.USAGE)
    if not yes:
        with progress("looking at the stores", None):
            found = run(_planned(settings, policies))
        _show(found, as_json=False)
        if not found.steps:
            return
        typer.confirm(f"carry out {len(found.steps)} steps?", abort=True, err=True)
    outcomes = run(_applied(settings, policies, actor))
    _report(outcomes, as_json=as_json)
    if any(outcome.result != "DONE" for outcome in outcomes):
        raise CommandError("some steps were not carried out; the table says why", Exit.REFUSED)


def _policies(settings: Settings, only: list[str] | None) -> Policies:
    from projections.retention.policy_file import load_policies

    policies = load_policies(settings.retention.policies)
    if only is None:
        return policies
    names = [policy.name for policy in policies.policies]
    if unknown := [name for name in only if name not in names]:
        raise CommandError(f"no policy {', '.join(unknown)}; there are {', '.join(names)}", Exit.USAGE)
    chosen = tuple(policy for policy in policies.policies if policy.name in only)
    return policies.model_copy(update={"policies": chosen})


async def _planned(settings: Settings, policies: Policies) -> Plan:
    from events.publisher import wall_clock_ms
    from projections.retention.inventory import planned

    async with _stores(settings) as stores:
        return (await planned(stores, policies, wall_clock_ms() * 1000))[0]


async def _applied(settings: Settings, policies: Policies, actor: str) -> list[Outcome]:
    from events.broker import create_topics
    from events.codec import open_codec
    from events.publisher import Publisher, wall_clock_ms
    from events.reader import LogReader
    from projections.audit import Audit
    from projections.retention.apply import apply as carry_out
    from projections.retention.audit import SOURCE, Journal
    from projections.retention.inventory import planned

    log = settings.log
    codec = open_codec(log)
    await create_topics(log)
    async with _stores(settings) as stores, Publisher(log, codec) as publisher:
        found, _ = await planned(stores, policies, wall_clock_ms() * 1000)
        audit = Audit(SOURCE, actor, publisher, LogReader(log), codec, lambda: wall_clock_ms() * 1000)
        with progress("steps", len(found.steps)) as bar:
            return await carry_out(stores, found, Journal(audit), lambda _: bar.advance(bar.task_ids[0]))


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores that are configured, and every projection that must have consumed what goes."""
    from api.sinks import open_sinks, sink_names
    from events.codec import open_codec
    from projections.live.store import LiveStore
    from projections.retention.inventory import Stores

    log = settings.log
    codec = open_codec(log)
    sinks = open_sinks(settings, codec, sink_names(settings))
    try:
        async with LiveStore(settings.live) as live:
            yield Stores(settings.history, settings.archive, log, settings.retention, live, tuple(sinks))
    finally:
        for sink in sinks:
            await sink.close()


def _show(found: Plan, *, as_json: bool) -> None:
    from projections.retention.amounts import written_size

    if as_json:
        print_json(
            {
                "rows": found.rows,
                "bytes": found.bytes,
                "steps": [_facts(step) for step in found.steps],
                "held_back": [
                    {"policy": one.policy, "subject": one.subject, "rows": one.rows, "why": one.why}
                    for one in found.held_back
                ],
            }
        )
        return
    cells = [
        (step.policy, step.what, step.action.value, step.subject, step.rows, written_size(step.bytes))
        for step in found.steps
    ]
    columns = ("policy", "step", "action", "what", "rows", "size")
    print_table(columns, cells, empty="nothing is due")
    if found.steps:
        say(f"{len(found.steps)} steps: {found.rows} rows, {written_size(found.bytes)}")
    if found.held_back:
        say("")
        held = [(one.policy, one.subject, one.rows, one.why) for one in found.held_back]
        print_table(("policy", "held back", "rows", "why"), held, empty="")


def _report(outcomes: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                _facts(one.step) | {"result": one.result.value, "rows": one.rows, "detail": one.detail}
                for one in outcomes
            ]
        )
        return
    cells = [
        (one.step.policy, one.step.what, one.step.subject, one.rows, one.result.value, one.detail)
        for one in outcomes
    ]
    print_table(("policy", "step", "what", "rows", "result", "detail"), cells, empty="nothing was due")


def _facts(step: AnyStep) -> dict[str, Any]:
    return {
        "step_id": step.step_id,
        "policy": step.policy,
        "step": step.what,
        "action": step.action.value,
        "subject": step.subject,
        "rows": step.rows,
        "bytes": step.bytes,
    }
