"""Settings of the log: section `log`, `INTERLOCK_LOG__...` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field


class LogSettings(BaseModel):
    """How the log is reached and how large its parts may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = Field("127.0.0.1:9092", description="Brokers, host:port, with commas between.")
    topic_prefix: str = Field("interlock.", description="Put before each topic's short name.")
    group_id: str = Field("interlock", description="Consumer group of the workers.")
    session_timeout_s: Annotated[float, Interval(ge=1, le=20)] = Field(
        6.0, description="A worker that is silent for so long loses its partitions to the others."
    )
    partitions: Annotated[int, Interval(ge=1, le=1024)] = Field(
        4, description="Partitions of every topic; the same in all processes as when the topics were created."
    )
    replication_factor: Annotated[int, Interval(ge=1, le=9)] = Field(1, description="Copies of a new topic.")
    registry_url: str | None = Field(
        None, description="Confluent-compatible registry; none: ids from schemas/."
    )
    schemas_folder: Path | None = Field(None, description="Folder of the schemas; none: the shipped ones.")
    max_event_bytes: Annotated[int, Interval(ge=64 * 2**10, le=100 * 2**20)] = Field(
        2**20, description="Largest event, bytes with key and headers; a larger record is dead-lettered."
    )
    max_in_flight_events: Annotated[int, Interval(ge=1, le=1_000_000)] = Field(
        20_000, description="Appends that may wait for the log at once; more are told to come back."
    )
    max_in_flight_bytes: Annotated[int, Interval(ge=2**20, le=2**32)] = Field(
        64 * 2**20, description="Bytes that may wait for the log at once; more are told to come back."
    )
    request_timeout_s: Annotated[float, Interval(ge=0.1, le=300)] = Field(
        10.0, description="How long one append or read may take."
    )
    linger_ms: Annotated[int, Interval(ge=0, le=1000)] = Field(
        0, description="Wait of the producer to fill a batch."
    )
    idempotent: bool | None = Field(None, description="Idempotent producer; none: where the broker can.")
    max_event_age_days: Annotated[int, Interval(ge=1, le=36_500)] = Field(
        366, description="An occurred_at further before its record's time is refused."
    )
    max_event_ahead_s: Annotated[int, Interval(ge=0, le=366 * 86_400)] = Field(
        86_400, description="An occurred_at further after its record's time is refused."
    )

    def full_name(self, topic: str) -> str:
        """Name on the broker of the topic with that short name."""
        return self.topic_prefix + topic

    def short_name(self, full_name: str) -> str:
        """Short name of a topic of ours."""
        return full_name.removeprefix(self.topic_prefix)
