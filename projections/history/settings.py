"""Settings of the history: section `history`, `INTERLOCK_HISTORY__...` in the environment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """Where the history is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres_dsn: str | None = Field(
        None, description="PostgreSQL, postgresql://user:password@host:port/database; none: no history."
    )
