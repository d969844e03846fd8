"""CloudEvents as producers send them, for tests of the edge."""

from __future__ import annotations

from itertools import count
from typing import Any

_NUMBERS = count(1)
NOW = "2026-03-01T12:00:00Z"


def new_id() -> str:
    """A UUID that no other event of the run has."""
    return f"018bcfe5-687b-7abc-8def-{next(_NUMBERS):012x}"


def usage(tenant: str = "acme", *, outcome: str = "SUCCESS", **data: Any) -> dict[str, Any]:
    """A UsageRecorded; keyword arguments are fields of its data. Without a time it happens now."""
    return {
        "specversion": "1.0",
        "id": new_id(),
        "source": "gateway-1",
        "type": "UsageRecorded",
        "tenant": tenant,
        "data": {
            "request_id": "req-1",
            "provider": "openai",
            "model": "gpt-4o",
            "outcome": outcome,
            "input_tokens": 1000,
            "output_tokens": 200,
            "latency_ms": 800,
        }
        | data,
    }


def health_check(provider: str = "openai", status: str = "HEALTHY", **data: Any) -> dict[str, Any]:
    """A ProviderHealthChecked."""
    return {
        "specversion": "1.0",
        "id": new_id(),
        "source": "prober-1",
        "type": "ProviderHealthChecked",
        "data": {"provider": provider, "status": status} | data,
    }


def routing(tenant: str = "acme", **data: Any) -> dict[str, Any]:
    """A RoutingDecided."""
    return {
        "specversion": "1.0",
        "id": new_id(),
        "source": "gateway-1",
        "type": "RoutingDecided",
        "tenant": tenant,
        "data": {"request_id": "req-1", "provider": "openai", "model": "gpt-4o", "strategy": "priority"}
        | data,
    }
