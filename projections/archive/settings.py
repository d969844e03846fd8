"""Settings of the archive: section `archive`, `INTERLOCK_ARCHIVE__...` in the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ArchiveSettings(BaseModel):
    """Where the log's segments are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(None, description="Folder of the archive; none: no archive.")
