"""What a person sees while the benchmarks run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

_console = Console()


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside others of the same unit."""

    name: str
    value: float
    unit: str
    beside: str = ""


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    table = Table(title=title, title_justify="left", show_header=False, min_width=72)
    for row in rows:
        digits = 0 if row.value >= 1_000 else 2
        table.add_row(row.name, f"{row.value:,.{digits}f} {row.unit}", row.beside)
    _console.print(table)
