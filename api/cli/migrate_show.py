"""What the commands of a migration print: its plan, its proof, and what was put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from api.cli.output import print_facts, print_json, print_table, say
from api.rfc3339 import format_time_us

if TYPE_CHECKING:
    from processors.migration.journal import Written
    from processors.migration.migration import PutBack
    from processors.migration.place import Estimate
    from processors.migration.steps import Name, Step


def show_plan(
    written: Written | None, steps: Sequence[Step], estimates: Mapping[Name, Estimate], as_json: bool
) -> None:
    """What is to be done; of one that was begun, what is left."""
    if as_json:
        rows = [
            _document(step)
            | {
                "records": estimates[step.name].records if step.name in estimates else None,
                "estimated_s": round(estimates[step.name].took_s, 1) if step.name in estimates else None,
            }
            for step in steps
        ]
        print_json({"begun": written is not None, "steps": rows})
        return
    cells = [(step.name.value, step.does, step.why, _told(estimates.get(step.name))) for step in steps]
    print_table(
        ("step", "does", "why", "how much"), cells, empty="nothing to do: all is as this release makes it"
    )
    if written is not None:
        done = ", ".join(written.done) or "nothing"
        print_facts([("begun", format_time_us(written.begun_us)), ("done before", done)])


def show_ended(written: Written | None, as_json: bool) -> None:
    """What was done, with its figures: the proof."""
    assert written is not None, "noted by the run"
    if as_json:
        rows = [_document(step) | {"done": written.done.get(step.name)} for step in written.steps]
        print_json({"begun_at": format_time_us(written.begun_us), "ended": written.ended, "steps": rows})
        return
    cells = [(step.name.value, _figures(written.done.get(step.name, {}))) for step in written.steps]
    print_table(("step", "done"), cells, empty="nothing")
    if written.came_from:
        say("the way back: interlock migrate rollback")


def show_put_back(done: Sequence[PutBack], as_json: bool) -> None:
    """Which one was live, which is so now."""
    if as_json:
        print_json(
            [
                {"projection": one.projection, "was": one.was, "now": one.now, "behind": one.behind}
                for one in done
            ]
        )
        return
    columns = ("projection", "was live", "is live", "records behind")
    print_table(
        columns, [(one.projection.value, one.was, one.now, one.behind) for one in done], empty="nothing"
    )


def _document(step: Step) -> dict[str, Any]:
    return {"step": step.name, "does": step.does, "why": step.why}


def _told(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.records:,} records, about {estimate.took_s:,.0f} s"


def _figures(figures: Mapping[str, Any]) -> str:
    """One line: names with their values, those within in brackets."""
    return ", ".join(
        f"{name.replace('_', ' ')} ({_figures(value)})"
        if isinstance(value, dict)
        else f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in figures.items()
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
