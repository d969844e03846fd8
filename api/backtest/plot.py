"""Plots as SVG, drawn by hand: lanes over time, and pairs of bars. Colours come from the page's style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from processors.backtest.timeline import Span

WIDTH, LABEL, LANE, GAP, AXIS = 1_000, 210, 14, 10, 26
TICKS = 6
STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 86_400, 7 * 86_400, 28 * 86_400, 91 * 86_400)


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of a plot over time: spans by the class that colours them, drawn in this order."""

    label: str
    spans: Sequence[tuple[str, Sequence[Span]]]


def lanes(title: str, groups: Sequence[tuple[str, Sequence[Lane]]], start_us: int, end_us: int) -> str:
    """Groups of lanes over [start, end); a stretch too short to be seen is drawn a pixel wide."""
    end_us = max(end_us, start_us + 1_000_000)
    scale = (WIDTH - LABEL) / (end_us - start_us)
    drawn: list[str] = []
    y = 4
    for name, held in groups:
        drawn.append(f'<text class="name" x="0" y="{y + 11}">{escape(_short(name, 60))}</text>')
        y += 18
        for lane in held:
            drawn.append(f'<text class="lane" x="12" y="{y + 11}">{escape(_short(lane.label, 30))}</text>')
            drawn.append(
                f'<rect class="calm" x="{LABEL}" y="{y}" width="{WIDTH - LABEL}" height="{LANE}" rx="2"/>'
            )
            for kind, spans in lane.spans:
                drawn += [
                    f'<rect class="{kind}" x="{LABEL + left}" y="{y}" width="{width}" height="{LANE}"/>'
                    for left, width in _pixels(spans, start_us, scale)
                ]
            y += LANE + 3
        y += GAP
    return _svg(title, y + AXIS, [*_axis(start_us, end_us, scale, y), *drawn])


def _pixels(spans: Iterable[Span], start_us: int, scale: float) -> list[tuple[int, int]]:
    """Left edges and widths, those that touch put together: never more than the plot is wide."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        left, right = int((start - start_us) * scale), int((end - start_us) * scale) + 1
        left, right = max(0, left), min(right, WIDTH - LABEL)
        if left >= right:
            continue
        if found and left <= found[-1][0] + found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], right - found[-1][0])
        else:
            found.append((left, right - left))
    return found


def _axis(start_us: int, end_us: int, scale: float, y: int) -> list[str]:
    span_s = (end_us - start_us) / 1_000_000
    step_s = next((step for step in STEPS_S if span_s / step <= TICKS), STEPS_S[-1])
    form = "%Y-%m-%d" if step_s >= 86_400 else "%m-%d %H:%M" if step_s >= 60 else "%H:%M:%S"
    drawn = []
    at_s = -(-start_us // 1_000_000 // step_s) * step_s
    while at_s * 1_000_000 <= end_us:
        x = LABEL + int((at_s * 1_000_000 - start_us) * scale)
        anchor = "end" if x > WIDTH - 50 else "middle" if x > LABEL + 50 else "start"
        text = datetime.fromtimestamp(at_s, UTC).strftime(form)
        drawn.append(f'<line class="tick" x1="{x}" x2="{x}" y1="0" y2="{y}"/>')
        drawn.append(f'<text class="tick" x="{x}" y="{y + 14}" text-anchor="{anchor}">{text}</text>')
        at_s += step_s
    return drawn


def bars(title: str, rows: Sequence[tuple[str, int, int, str]]) -> str:
    """Pairs of bars: label, the recorded and the tried amount, and what is written behind them."""
    most = max([1, *(max(abs(one), abs(other)) for _, one, other, _ in rows)])
    room = WIDTH - LABEL - 220
    drawn: list[str] = []
    y = 4
    for label, recorded, tried, text in rows:
        drawn.append(f'<text class="lane" x="0" y="{y + 16}">{escape(_short(label, 34))}</text>')
        widths = [max(1, abs(amount) * room // most) if amount else 0 for amount in (recorded, tried)]
        drawn.append(f'<rect class="recorded" x="{LABEL}" y="{y}" width="{widths[0]}" height="10" rx="2"/>')
        drawn.append(f'<rect class="tried" x="{LABEL}" y="{y + 12}" width="{widths[1]}" height="10" rx="2"/>')
        drawn.append(f'<text class="tick" x="{LABEL + max(widths) + 8}" y="{y + 16}">{escape(text)}</text>')
        y += 34
    return _svg(title, y, drawn)


def _svg(title: str, height: int, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
