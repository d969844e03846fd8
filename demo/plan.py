"""What a gateway process is told at its start, and the files over which it and the demo talk."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from demo.options import DemoOptions
from events.settings import LogSettings
from projections.settings import LiveSettings


class GatewayPlan(BaseModel):
    """One gateway of a run. All share the folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    options: DemoOptions
    log: LogSettings
    live: LiveSettings
    folder: Path

    @property
    def name(self) -> str:
        """What it signs its events with."""
        return f"gateway-{self.number}"

    @property
    def plan_path(self) -> Path:
        """Where the gateway finds its plan."""
        return self.folder / f"{self.name}.plan.json"

    @property
    def ready_path(self) -> Path:
        """Exists once the gateway sees the live state."""
        return self.folder / f"{self.name}.ready"

    @property
    def ledger_path(self) -> Path:
        """Its book."""
        return self.folder / f"{self.name}.ledger.jsonl"

    @property
    def sights_path(self) -> Path:
        """When it saw which breaker open; written at its end."""
        return self.folder / f"{self.name}.sights.json"

    @property
    def start_path(self) -> Path:
        """Appears when the traffic is to begin, and holds the instant, microseconds of the wall clock."""
        return self.folder / "start"
