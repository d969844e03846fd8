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
    from api.settings import SettingsError
    from events.broker import TopicMismatchError
    from events.dead_letters import LetterNotFoundError
    from events.errors import EventsError, InvalidEventError, LogUnavailableError, UnknownTopicError
    from events.positions import InvalidPositionError
    from events.publisher import PartlyAppendedError
    from processors.migration.errors import CanaryDiffersError, MigrationError
    from processors.rebuild.errors import NotProvedError, RebuildError
    from processors.verify.errors import BrokenSlotError, VerifyError
    from projections.archive.restore_plan import CannotRestoreError
    from projections.backup.errors import (
        ArchiveBehindError,
        BackupError,
        BackupNotFoundError,
        DamagedBackupError,
    )
    from projections.errors import (
        HistoryUnavailableError,
        LiveUnavailableError,
        SchemaBusyError,
        SinkUnavailableError,
    )
    from projections.live.generations import GenerationError
    from projections.lock import LockedError, LockLostError
    from projections.retention.errors import RetentionError
    from projections.yaml_file import YamlFileError

    codes: dict[type[BaseException], Exit] = {
        CommandError: error.code if isinstance(error, CommandError) else Exit.FAILED,
        SettingsError: Exit.USAGE,
        UnknownTopicError: Exit.USAGE,
        InvalidPositionError: Exit.USAGE,
        InvalidEventError: Exit.REFUSED,
        TopicMismatchError: Exit.REFUSED,
        LetterNotFoundError: Exit.NOT_FOUND,
        LogUnavailableError: Exit.UNAVAILABLE,
        PartlyAppendedError: Exit.UNAVAILABLE,
        LiveUnavailableError: Exit.UNAVAILABLE,
        GenerationError: Exit.REFUSED,
        LockedError: Exit.REFUSED,
        LockLostError: Exit.FAILED,
        SchemaBusyError: Exit.REFUSED,
        RebuildError: Exit.REFUSED,
        NotProvedError: Exit.FAILED,
        MigrationError: Exit.REFUSED,
        CanaryDiffersError: Exit.FAILED,
        VerifyError: Exit.REFUSED,
        BrokenSlotError: Exit.FAILED,
        SinkUnavailableError: Exit.UNAVAILABLE,
        HistoryUnavailableError: Exit.UNAVAILABLE,
        YamlFileError: Exit.USAGE,
        RetentionError: Exit.REFUSED,
        CannotRestoreError: Exit.REFUSED,
        BackupError: Exit.REFUSED,
        BackupNotFoundError: Exit.NOT_FOUND,
        ArchiveBehindError: Exit.UNAVAILABLE,
        DamagedBackupError: Exit.FAILED,
        EventsError: Exit.FAILED,
        BrokenPipeError: Exit.OK,
    }
    return next((codes[kind] for kind in type(error).__mro__ if kind in codes), None)


def line_of(error: BaseException) -> str:
    """What is said of the error, in one line with what to do."""
    from events.errors import LogUnavailableError

    said = " ".join(str(error).split())
    if isinstance(error, LogUnavailableError):
        said += ": start a log with `interlock up`, or set INTERLOCK_LOG__BOOTSTRAP"
    return said
