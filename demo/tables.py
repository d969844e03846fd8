"""What a run found, as tables for people; the verdict comes last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.evidence import Evidence
from demo.narrator import time_text
from demo.options import DemoOptions
from demo.report import budget_rows, spend_rows, spread
from demo.spread import Trip

SHOWN_TRANSITIONS = 60


def print_report(console: Console, options: DemoOptions, evidence: Evidence, elapsed_s: float) -> None:
    """All tables, in the order in which a newcomer asks: is it whole, is it right, what happened, how fast."""
    _events(console, evidence)
    _spend(console, evidence)
    _breakers(console, evidence)
    _spread(console, evidence)
    _budgets(console, evidence)
    _faults(console, evidence)
    _proof(console, evidence)
    console.print(
        f"{elapsed_s:.0f} s in all; the same as JSON: {options.report}", markup=False, soft_wrap=True
    )


def _table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns whose name begins with `>` stand right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        table.add_column(
            column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    console.print()
    console.print(table)


def _mark(holds: bool) -> Text:
    return Text("equal", "green") if holds else Text("NOT EQUAL", "bold red")


def _zero(count: int) -> Text:
    return Text(f"{count:,}", "green" if count == 0 else "bold red")


def _events(console: Console, evidence: Evidence) -> None:
    rows: list[Sequence[object]] = [
        (
            flow.topic,
            f"{flow.appended:,}",
            f"{flow.on_log:,}",
            f"{flow.repeated:,}",
            f"{flow.folded:,}",
            _zero(flow.lost),
            _zero(flow.doubled),
        )
        for flow in evidence.proof.flows
    ]
    rows += [
        (
            f"{topic} (derived)",
            "",
            f"{evidence.naive.records[topic]:,}",
            f"{evidence.naive.doubles[topic]:,}",
            "",
            "",
            "",
        )
        for topic in ("outcomes", "breakers", "alerts")
    ]
    columns = ("topic", ">in ledgers", ">on the log", ">sent twice", ">folded once", ">lost", ">doubled")
    _table(console, "Events", columns, rows)


def _spend(console: Console, evidence: Evidence) -> None:
    rows = [
        (row["tenant"], row["ledgers_usd"], row["log_usd"], row["live_usd"], _mark(row["equal"]))
        for row in spend_rows(evidence)
    ]
    _table(console, "Spend, USD", ("tenant", ">ledgers", ">log", ">live", ""), rows)


def _breakers(console: Console, evidence: Evidence) -> None:
    events = sorted(
        (
            (event["occurred_at"], name, event)
            for name, line in evidence.naive.timelines.items()
            for event in line
        ),
        key=lambda row: (row[0], row[1], row[2]["version"]),
    )
    shown = events[:SHOWN_TRANSITIONS]
    rows = [
        (
            time_text(at_us),
            name,
            f"{event['from_state']} -> {event['to_state']}",
            event["cause"].lower().replace("_", " "),
            time_text(event["open_until"]) if event["open_until"] else "",
        )
        for at_us, name, event in shown
    ]
    _table(console, "Breakers", ("at", "deployment", "", "cause", "open until"), rows)
    if len(events) > len(shown):
        console.print(f"... and {len(events) - len(shown)} more transitions, in the JSON file")


def _spread(console: Console, evidence: Evidence) -> None:
    figures = spread(evidence.trips)
    rows = [
        (name, found["sights"], _ms(found["p50_ms"]), _ms(found["p99_ms"]), _ms(found["max_ms"]))
        for name, found in (
            ("undisturbed", figures["undisturbed"]),
            ("while a fault was being recovered from", figures["during_faults"]),
        )
    ]
    title = "From the call that tripped a breaker to another gateway seeing OPEN, ms"
    _table(console, title, ("", ">sights", ">p50", ">p99", ">slowest"), rows)
    for trip in evidence.trips:
        if trip.fault and trip.reached_ms:
            console.print(_trip(trip), markup=False, soft_wrap=True)


def _trip(trip: Trip) -> str:
    slowest = max(trip.reached_ms.values())
    return f"  {time_text(trip.occurred_us)}  {trip.deployment} ({trip.cause}), {trip.fault}: {slowest:,.0f} ms at the slowest"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _budgets(console: Console, evidence: Evidence) -> None:
    rows = [
        (
            f"{row['tenant']}/{row['budget']}",
            row["limit_usd"],
            row["spent_usd"],
            row["state"],
            ", ".join(f"{percent}%" for percent in row["alerts_percent"]) or "none",
        )
        for row in budget_rows(evidence)
    ]
    _table(console, "Budgets, USD", ("budget", ">limit", ">spent", "state", "alerts raised"), rows)


def _faults(console: Console, evidence: Evidence) -> None:
    rows: list[Sequence[object]] = [
        (time_text(fault.virtual_us), fault.detail, f"all folded again after {fault.recovery_s:.1f} s")
        for fault in evidence.faults
    ]
    rows.append(
        ("throughout", f"{evidence.books.repeats:,} acknowledged events sent once more", "each counted once")
    )
    _table(console, "Injected", ("at", "what", "recovery"), rows)


def _proof(console: Console, evidence: Evidence) -> None:
    rows = [(check.name, f"{check.compared:,}", _mark(check.holds)) for check in evidence.proof.checks]
    _table(console, "Proof", ("what was compared", ">values", ""), rows)
    console.print()
    wrong = evidence.proof.inequalities
    for line in wrong:
        console.print(line, style="red", markup=False, soft_wrap=True)
    if wrong:
        console.print(f"NOT PROVED: {len(wrong)} inequalities", style="bold red")
    else:
        console.print(f"PROVED: all {len(rows)} equations hold", style="bold green")
