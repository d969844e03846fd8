"""Settings of the analytics: section `analytics`, `INTERLOCK_ANALYTICS__...` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field

Days = Annotated[int, Interval(ge=1, le=36_500)]
WindowSeconds = Annotated[int, Interval(ge=60, le=86_400)]


class AnalyticsRetention(BaseModel):
    """How many days the documents of each collection are kept, by the start of their window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usage_patterns_days: Days = Field(365, description="Documents of who calls what, and how much.")
    cost_optimization_days: Days = Field(
        180, description="Documents of what calls cost, and what for nothing."
    )
    performance_metrics_days: Days = Field(90, description="Documents of latency and errors of models.")
    routing_patterns_days: Days = Field(90, description="Documents of routing decisions.")
    provider_states_days: Days = Field(30, description="Documents of the states of providers.")


class AnalyticsSettings(BaseModel):
    """Where the analytics are kept, and how fine they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chroma_url: str | None = Field(None, description="Chroma server, http://host:port; none: no analytics.")
    collection_prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = Field(
        "interlock_", description="First part of the name of every collection."
    )
    window_s: WindowSeconds = Field(3_600, description="Length of a window of usage and of routing.")
    state_window_s: WindowSeconds = Field(300, description="Length of a window of a provider's state.")
    retention: AnalyticsRetention = Field(default_factory=AnalyticsRetention)
    embedding_folder: Path | None = Field(
        None,
        description="Folder of a text embedding model (model.onnx, tokenizer.json); none: words are hashed.",
    )
    flush_after_s: Annotated[float, Interval(ge=0.05, le=3_600)] = Field(
        10.0, description="Windows that changed are written after so long at the latest."
    )
    flush_windows: Annotated[int, Interval(ge=1, le=100_000)] = Field(
        2_000, description="Changed windows of a partition that are written before their time."
    )
    request_timeout_s: Annotated[float, Interval(ge=0.05, le=300)] = Field(
        10.0, description="How long Chroma may take for one request of the sink."
    )
    read_timeout_s: Annotated[float, Interval(ge=0.05, le=300)] = Field(
        8.0, description="How long the API waits for the answer to one question."
    )
    read_documents: Annotated[int, Interval(ge=100, le=200_000)] = Field(
        20_000,
        description="Most documents that one question may look at; the answer says when there were more.",
    )
    retention_interval_s: Annotated[float, Interval(ge=1, le=86_400)] = Field(
        600.0, description="How often documents past their retention are deleted."
    )
