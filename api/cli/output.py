"""What commands print: tables and lines for people, JSON for programs. Answers go to stdout, all else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]

PIPED_COLUMNS = 200

people = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
"""Where answers for people go."""

aside = Console(stderr=True, highlight=False)
"""Where progress and remarks go, out of the way of what is piped on."""


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_json_line(value: Any) -> None:
    """One line of JSON Lines on stdout, at once."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table; `empty` is what is said instead of one without rows. Numbers stand right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    kept = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(kept) and all(isinstance(row[index], int) for row in kept)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in kept:
        table.add_row(*(_cell(value) for value in row))
    if kept:
        people.print(table)
    else:
        people.print(empty)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; what has no value is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value is not None and value != "":
            table.add_row(name, _cell(value))
    people.print(table)


def _cell(value: object) -> str:
    # Text of the users: a square bracket in it is no markup.
    return "" if value is None else str(value).replace("[", r"\[")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Progress]:
    """A progress bar on stderr for long work; its one task is the first."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=aside, transient=True, disable=not aside.is_terminal) as bar:
        bar.add_task(what, total=total)
        yield bar


def say(text: str) -> None:
    """One line on stdout, however long."""
    people.print(text, markup=False, soft_wrap=True)


def remark(text: str) -> None:
    """One line on stderr."""
    aside.print(text, markup=False, soft_wrap=True)
