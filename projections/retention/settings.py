"""Settings of the retention: section `retention`, `INTERLOCK_RETENTION__...` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field


class RetentionSettings(BaseModel):
    """Which policies hold, and where exports go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policies: Path | None = Field(None, description="YAML file of the policies; none: the shipped ones.")
    exports: Path | None = Field(
        None,
        description="Folder of the Parquet files of the action `export`; none: its steps are refused.",
    )
    lock_timeout_s: Annotated[float, Interval(ge=0.05, le=60)] = Field(
        0.5, description="How long a step may wait for a table that is being written; then it is tried again."
    )
    statement_timeout_s: Annotated[float, Interval(ge=1, le=86_400)] = Field(
        3600.0, description="How long one statement of a step may take."
    )
