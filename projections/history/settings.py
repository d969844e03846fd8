"""Settings of the history: section `history`, `INTERLOCK_HISTORY__...` in the environment."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Interval(ge=0.05, le=3600)]


class HistorySettings(BaseModel):
    """Where the history is kept, and how long its store may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres_dsn: str | None = Field(
        None, description="PostgreSQL, postgresql://user:password@host:port/database; none: no history."
    )
    schema_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")] = Field(
        "interlock", description="Postgres schema of the tables; another one is built beside it."
    )
    connect_timeout_s: Seconds = Field(5.0, description="How long a connection may take.")
    write_timeout_s: Seconds = Field(
        30.0, description="How long one batch may take to be written, the wait for a connection included."
    )
    query_timeout_s: Seconds = Field(10.0, description="How long one query may take.")
    migrate_timeout_s: Seconds = Field(120.0, description="How long the steps of the schema may take.")
    max_connections: Annotated[int, Interval(ge=1, le=100)] = Field(
        8, description="Connections of one process to the store."
    )
    months_ahead: Annotated[int, Interval(ge=0, le=24)] = Field(
        2, description="Partitions are created for so many months after the current one."
    )
    rollup_rows_kept: Annotated[int, Interval(ge=0, le=1_000_000)] = Field(
        20_000, description="Rollup rows of one log partition that the sink keeps in memory."
    )
