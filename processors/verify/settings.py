"""Settings of the proof that workers carry on: section `verify`, `INTERLOCK_VERIFY__...` in the environment."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field


class VerifySettings(BaseModel):
    """How much a worker may spend on proving what it has folded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: Annotated[float, Interval(ge=0, le=1)] = Field(
        0.02,
        description="Part of one core that a worker spends on comparing its slots with a naive fold of the log; 0: none.",
    )
    pause_s: Annotated[float, Interval(ge=0.05, le=86_400)] = Field(
        30.0, description="How long a worker waits before it verifies its next slot."
    )
    most_keys: Annotated[int, Interval(ge=1, le=100_000_000)] = Field(
        100_000,
        description="A worker keeps naive folds with so many keys and remembered ids together; a slot with more keys is passed over.",
    )
