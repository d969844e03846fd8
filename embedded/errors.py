"""What can go wrong with an embedded server, split by what the caller does about it."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """Root of all errors of this package."""


class StartError(EmbeddedError):
    """A server exited or did not answer in time. The message ends with the last lines of its log."""

    def __init__(self, name: str, reason: str, log_path: Path, tail: str) -> None:
        super().__init__(f"{name} {reason}; the end of {log_path}:\n{tail or '(empty)'}")
        self.name = name


class FolderInUseError(EmbeddedError):
    """Another process, or servers it left that are still ending, hold the data folder."""


class MissingProgramError(EmbeddedError):
    """A program or wheel is not installed. The message says what to install."""
