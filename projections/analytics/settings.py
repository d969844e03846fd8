"""Settings of the analytics: section `analytics`, `INTERLOCK_ANALYTICS__...` in the environment."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnalyticsSettings(BaseModel):
    """Where the analytics are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chroma_url: str | None = Field(None, description="Chroma server, http://host:port; none: no analytics.")
