"""Which calls are repriced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """Calls that happened in [from_us, to_us), of a tenant, provider and model; None: of all."""

    from_us: int | None = None
    to_us: int | None = None
    tenant: str | None = None
    provider: str | None = None
    model: str | None = None

    def covers(self, usage: Mapping[str, Any]) -> bool:
        """Whether a usage record is meant."""
        return self.holds(usage["occurred_at"], usage["tenant"], usage["provider"], usage["model"])

    def holds(self, at_us: int, tenant: str, provider: str, model: str) -> bool:
        """The same of a call told otherwise."""
        return (
            (self.from_us is None or at_us >= self.from_us)
            and (self.to_us is None or at_us < self.to_us)
            and self.tenant in (None, tenant)
            and self.provider in (None, provider)
            and self.model in (None, model)
        )
