"""What the exit code of a command says, and the one line that goes with it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes of `interlock`; they stay the same over releases."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOT_FOUND = 4
    REFUSED = 5
    INTERRUPTED = 130


CODES = {
    "api.settings.SettingsError": Exit.USAGE,
    "builtins.BrokenPipeError": Exit.OK,
    "events.broker.TopicMismatchError": Exit.REFUSED,
    "events.dead_letters.LetterNotFoundError": Exit.NOT_FOUND,
    "events.errors.EventsError": Exit.FAILED,
    "events.errors.InvalidEventError": Exit.REFUSED,
    "events.errors.LogUnavailableError": Exit.UNAVAILABLE,
    "events.errors.UnknownTopicError": Exit.USAGE,
    "events.positions.InvalidPositionError": Exit.USAGE,
    "events.publisher.PartlyAppendedError": Exit.UNAVAILABLE,
    "processors.migration.errors.CanaryDiffersError": Exit.FAILED,
    "processors.migration.errors.MigrationError": Exit.REFUSED,
    "processors.rebuild.errors.NotProvedError": Exit.FAILED,
    "processors.rebuild.errors.RebuildError": Exit.REFUSED,
    "processors.repartition.errors.NotStillError": Exit.UNAVAILABLE,
    "processors.repartition.errors.RepartitionError": Exit.REFUSED,
    "processors.verify.errors.BrokenSlotError": Exit.FAILED,
    "processors.verify.errors.VerifyError": Exit.REFUSED,
    "projections.archive.restore_plan.CannotRestoreError": Exit.REFUSED,
    "projections.backup.errors.ArchiveBehindError": Exit.UNAVAILABLE,
    "projections.backup.errors.BackupError": Exit.REFUSED,
    "projections.backup.errors.BackupNotFoundError": Exit.NOT_FOUND,
    "projections.backup.errors.DamagedBackupError": Exit.FAILED,
    "projections.errors.HistoryUnavailableError": Exit.UNAVAILABLE,
    "projections.errors.LiveUnavailableError": Exit.UNAVAILABLE,
    "projections.errors.SchemaBusyError": Exit.REFUSED,
    "projections.errors.SinkUnavailableError": Exit.UNAVAILABLE,
    "projections.live.generations.GenerationError": Exit.REFUSED,
    "projections.lock.LockLostError": Exit.FAILED,
    "projections.lock.LockedError": Exit.REFUSED,
    "projections.retention.errors.RetentionError": Exit.REFUSED,
    "projections.yaml_file.YamlFileError": Exit.USAGE,
}
"""By the names of the errors: to import them all would take a failing command longer than what it was asked for."""


class CommandError(Exception):
    """A command cannot go on; the message says what was wrong and what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def run(work: Coroutine[Any, Any, T], new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """Run a command's work to its end, on an event loop of its own; Ctrl-C ends it without a word."""
    from api.logs import set_up_logging

    if not logging.getLogger().handlers:
        # What a library logs of a failure, the command says in its one line.
        set_up_logging("CRITICAL")
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


def finish(work: Callable[[], T]) -> T:
    """As `run`, of work that waits for nothing but the disk, which may be full or away."""
    try:
        return work()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except OSError as error:
        raise CommandError(f"the disk does not take or give it: {error}", Exit.UNAVAILABLE) from error


def code_of(error: BaseException) -> Exit | None:
    """The exit code of an error that a person can do something about; None for a defect."""
    if isinstance(error, CommandError):
        return error.code
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((CODES[name] for name in names if name in CODES), None)


def line_of(error: BaseException) -> str:
    """What is said of the error, in one line with what to do."""
    from events.errors import LogUnavailableError

    said = " ".join(str(error).split())
    if isinstance(error, LogUnavailableError):
        said += ": start a log with `interlock up`, or set INTERLOCK_LOG__BOOTSTRAP"
    return said
