"""The outcome of a backtest as one HTML page: style and plots inside, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from api.backtest.document import Document, alert_rows, changed_cells, changes, document, summed
from api.backtest.plot import Lane, bars, lanes
from events.money import format_usd
from processors.backtest.calls import changed_calls
from processors.backtest.deployment import DeploymentRun, Side
from processors.backtest.outcome import Outcome
from processors.backtest.timeline import Admission

STYLE = Path(__file__).with_name("style.css")
MOST_PLOTTED = 40
MOST_ROWS = 200
Cell = str | int


def page(outcome: Outcome, policy_name: str) -> str:
    """The whole page. The same outcome gives the same text."""
    found = document(outcome)
    title = f"Backtest of {policy_name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _head(outcome, found),
        _tiles(outcome, found),
        _breakers(outcome),
        _downtime(outcome),
        _budgets(found),
        _costs(outcome, found),
        _foot(found),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{STYLE.read_text()}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _head(outcome: Outcome, found: Document) -> str:
    counted = outcome.counted
    begins = found["from"] or "the beginning of the log"
    verdict = (
        "The policy would have changed nothing."
        if outcome.changes_nothing
        else "The policy would have decided otherwise: what follows from that is below."
    )
    if outcome.is_reproduced:
        kind, trust = (
            "good",
            "Applied again, the recorded settings lead to exactly what is on the log: what differs follows from the policy alone.",
        )
    else:
        strange = found["reproduced"]
        kind = "bad"
        trust = (
            f"{strange['transitions']} transitions and {strange['alerts']} alerts are not what the recorded settings lead to "
            "when they are applied again; see the end of the page."
        )
    return (
        f"<p>{escape(begins)} to {escape(found['to'])}: {counted.usage:,} calls, {counted.outcomes:,} records of outcomes, "
        f"{counted.transitions:,} transitions.</p>"
        f'<p class="verdict">{verdict}</p><p class="{kind}">{trust}</p>'
    )


def _tiles(outcome: Outcome, found: Document) -> str:
    breakers, total = found["breakers"], summed(outcome.costs.values())
    refused = breakers["calls"]["refused"]
    down = [sum(one[f"{side}_s"] for one in found["downtime"]) for side in ("recorded", "tried")]
    alerts, overruns = found["budgets"]["alerts"], found["budgets"]["overruns"]
    tiles = [
        (f"+{breakers['added']} −{breakers['removed']}", f"transitions; {breakers['same']} are the same"),
        (f"{refused['failed']:,}", f"failed calls spared; {refused['others']:,} others refused"),
        (f"{down[1]:,.0f} s", f"downtime of models; it was {down[0]:,.0f} s"),
        (
            f"+{len(alerts['added'])} −{len(alerts['removed'])}",
            f"budget alerts; {len(alerts['moved'])} at another time",
        ),
        (str(len(overruns["tried"])), f"periods overrun; it was {len(overruns['recorded'])}"),
        (_usd(total.tried_nano_usd), f"USD; it was {_usd(total.recorded_nano_usd)}"),
    ]
    shown = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in tiles
    )
    return f'<div class="tiles">{shown}</div>'


def _breakers(outcome: Outcome) -> str:
    runs = outcome.deployments
    changed = [(name, run) for name, run in runs.items() if run.added.count or run.removed.count] or list(
        runs.items()
    )
    start_us = _first_us(outcome)
    plotted = [
        (
            name,
            [
                _lane("as recorded", run, run.recorded, start_us, outcome.ends_us),
                _lane("as tried", run, run.decided, start_us, outcome.ends_us),
            ],
        )
        for name, run in changed[:MOST_PLOTTED]
    ]
    found = changes(outcome)
    listed = [(sign, changed_cells(sign, event)) for sign, event in found[:MOST_ROWS]]
    shown = (
        f"<p>{len(changed)} of {len(runs)} deployments are shown: those whose breaker would have moved otherwise, or all when "
        "none would.</p>"
    )
    return "".join(
        [
            "<h2>Breakers</h2>",
            shown,
            _legend(("open", "open"), ("probes", "lets probes through"), ("failing", "calls fail")),
            lanes("Breakers over time", plotted, start_us, outcome.ends_us),
            _table(
                ("", "when", "deployment", "transition", "cause", "why"),
                listed,
                "No transition would have been added or removed.",
                sum(run.added.count + run.removed.count for run in runs.values()) - len(listed),
            ),
            _calls(outcome),
        ]
    )


def _lane(label: str, run: DeploymentRun, side: Side, start_us: int, end_us: int) -> Lane:
    return Lane(
        label,
        [
            ("failing", list(run.failing.spans(end_us))),
            ("probes", list(side.timeline.spans(Admission.PROBES, start_us, end_us))),
            ("open", list(side.timeline.spans(Admission.NONE, start_us, end_us))),
        ],
    )


def _calls(outcome: Outcome) -> str:
    rows: list[tuple[str, Sequence[Cell]]] = []
    for name, run in outcome.deployments.items():
        changed = changed_calls([run])
        if changed.refused.calls or changed.limited.calls or changed.released.calls:
            cells: list[Cell] = [name]
            for counts in (changed.refused, changed.limited, changed.released):
                cells += [counts.failed, counts.calls - counts.failed]
            rows.append(("", cells))
    return (
        "<h3>Calls that were made, and would have met another breaker</h3>"
        "<p>Refused: the breaker would have been open. Limited: it would have let probes through only. Released: it was "
        "open or probing and would have let more through; of calls that were refused then, nobody knows.</p>"
        + _table(
            (
                "deployment",
                "refused, failed",
                "refused, others",
                "limited, failed",
                "limited, others",
                "released, failed",
                "released, others",
            ),
            rows[:MOST_ROWS],
            "None.",
            len(rows) - MOST_ROWS,
        )
    )


def _downtime(outcome: Outcome) -> str:
    start_us = _first_us(outcome)
    held = [one for one in outcome.downtimes if one.recorded or one.tried]
    groups = [
        (
            one.model,
            [
                Lane(f"as recorded: {one.recorded_us / 1e6:,.1f} s", [("down", one.recorded)]),
                Lane(f"as tried: {one.tried_us / 1e6:,.1f} s", [("down", one.tried)]),
            ],
        )
        for one in held[:MOST_PLOTTED]
    ]
    plot = lanes("Downtime of models", groups, start_us, outcome.ends_us) if groups else "<p>None.</p>"
    return (
        "<h2>Downtime as users see it</h2><p>When each deployment of a model that was called in this time was failing or had "
        "an open breaker. A deployment is failing from a failed call until its next success, at most 10 s after the last "
        f"failure.</p>{plot}"
    )


def _budgets(found: Document) -> str:
    alerts, overruns = found["budgets"]["alerts"], found["budgets"]["overruns"]
    changed = [(row[0], row) for row in alert_rows(alerts)]
    over = [
        (
            "",
            (
                side,
                one["at"],
                *_budget_cells(one)[:1],
                one["limit_usd"],
                one["over_usd"],
                "yes" if one["hard"] else "no",
            ),
        )
        for side in ("recorded", "tried")
        for one in overruns[side]
    ]
    return "".join(
        [
            "<h2>Spend against limits</h2><h3>Alerts</h3>",
            _table(
                ("", "when", "it was", "budget", "reached", "spent USD", "limit USD"),
                changed[:MOST_ROWS],
                "No alert would have been added, removed or moved.",
                len(changed) - MOST_ROWS,
            ),
            "<h3>Periods that were spent whole</h3>",
            _table(
                ("", "when", "budget", "limit USD", "over in the end USD", "hard"),
                over[:MOST_ROWS],
                "None, on either side.",
                len(over) - MOST_ROWS,
            ),
        ]
    )


def _budget_cells(one: Document) -> tuple[str, str, str, str]:
    return f"{one['tenant']}/{one['budget_id']}", f"{one['percent']}%", one["spent_usd"], one["limit_usd"]


def _costs(outcome: Outcome, found: Document) -> str:
    by_model: dict[str, list[int]] = {}
    for (_, provider, model), cost in outcome.costs.items():
        held = by_model.setdefault(f"{provider}/{model}", [0, 0])
        held[0] += cost.recorded_nano_usd
        held[1] += cost.tried_nano_usd
    dearest = sorted(by_model.items(), key=lambda item: (-max(item[1]), item[0]))[:MOST_PLOTTED]
    drawn = [
        (name, recorded, tried, f"{_usd(recorded)} → {_usd(tried)} USD ({_share(recorded, tried)})")
        for name, (recorded, tried) in dearest
    ]
    tenants = [
        ("", (one["tenant"], one["calls"], one["recorded_usd"], one["tried_usd"], one["difference_usd"]))
        for one in found["costs"]["by_tenant"]
    ]
    return "".join(
        [
            "<h2>Cost</h2>",
            _legend(("recorded", "as recorded"), ("tried", "at the prices tried")),
            bars("Cost by model", drawn) if drawn else "<p>There were no calls.</p>",
            _table(
                ("tenant", "calls", "recorded USD", "tried USD", "difference USD"),
                tenants[:MOST_ROWS],
                "",
                len(tenants) - MOST_ROWS,
            ),
        ]
    )


def _foot(found: Document) -> str:
    strange = found["reproduced"]["listed"]
    rows = [
        ("", (one["at"], one["deployment"], f"{one['from']} → {one['to']}", one["cause"], one["reason"]))
        for one in strange[:MOST_ROWS]
    ]
    listed = (
        "<h2>Not reproduced</h2><p>Transitions that are on the log and do not follow from the recorded settings, or follow and "
        "are not on the log. Usual causes: workers were behind, older records are gone, another release decided.</p>"
        + _table(("when", "deployment", "transition", "cause", "why"), rows, "", len(strange) - len(rows))
        if strange
        else ""
    )
    read = ", ".join(f"{name} {start}-{end}" for name, (start, end) in found["read"].items())
    return f"{listed}<footer>Read: {escape(read)}. What the words mean, and what a backtest cannot know: docs/backtest.md.</footer>"


def _table(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell]]], empty: str, more: int = 0
) -> str:
    if not rows:
        return f"<p>{escape(empty)}</p>"
    numeric = {at for at in range(len(columns)) if all(isinstance(cells[at], int) for _, cells in rows)}
    head = "".join(
        f'<th class="n">{escape(name)}</th>' if at in numeric else f"<th>{escape(name)}</th>"
        for at, name in enumerate(columns)
    )
    body = "".join(
        f'<tr class="{kind}">'
        + "".join(
            f'<td class="n">{cell:,}</td>' if isinstance(cell, int) else f"<td>{escape(cell)}</td>"
            for cell in cells
        )
        + "</tr>"
        for kind, cells in rows
    )
    rest = f"<p>And {more:,} more: --json tells them.</p>" if more > 0 else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{rest}'


def _legend(*kinds: tuple[str, str]) -> str:
    shown = "".join(f'<span><i class="{kind}"></i>{escape(text)}</span>' for kind, text in kinds)
    return f'<div class="legend">{shown}</div>'


def _first_us(outcome: Outcome) -> int:
    """Where the plots begin."""
    seen: Iterable[int] = (run.first_us for run in outcome.deployments.values() if run.first_us is not None)
    return max(outcome.begins_us, min(seen, default=outcome.ends_us))


def _usd(nano_usd: int) -> str:
    whole = format_usd(nano_usd)
    return f"{nano_usd / 10**9:,.2f}" if abs(nano_usd) >= 10**9 else whole


def _share(recorded: int, tried: int) -> str:
    if recorded == tried:
        return "the same"
    return f"{(tried - recorded) / recorded:+.1%}" if recorded else "new"
