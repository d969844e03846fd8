"""The bar of long work: how much is done, how fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.cli.output import aside


@contextmanager
def counted(what: str, unit: str) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on stderr, moved by (done, total, done by this run); the last is what the rate is made of."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>9,} " + unit + "/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    started_s = time.monotonic()
    with Progress(*columns, console=aside, transient=True, disable=not aside.is_terminal) as bar:
        task = bar.add_task(what, total=None, rate=0)

        def moved(done: int, total: int, by_this_run: int) -> None:
            rate = int(by_this_run / max(0.001, time.monotonic() - started_s))
            bar.update(task, completed=done, total=total, rate=rate)

        yield moved
