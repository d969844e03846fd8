"""Settings of the projections: section `live`, `INTERLOCK_LIVE__...` in the environment."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field

Ttl = Annotated[float, Interval(ge=0.1, le=86_400)]


class CacheTtls(BaseModel):
    """How long a cached answer may live when no push corrects it, by what it is about. A backstop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    health_s: Ttl = Field(60.0, description="Health of deployments, health checks, provider settings.")
    breaker_s: Ttl = Field(30.0, description="Circuit breakers and their windows.")
    routing_s: Ttl = Field(300.0, description="Routing counters.")
    cost_s: Ttl = Field(120.0, description="Spend, budgets and their alerts.")
    performance_s: Ttl = Field(300.0, description="Performance figures.")


class LiveSettings(BaseModel):
    """How the live store is reached, how long it may take, and what a reader keeps of it in memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis 7+ or Valkey; rediss:// for TLS.")
    topology: Literal["single", "cluster"] = Field("single", description="One server, or a Redis Cluster.")
    namespace: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = Field(
        "interlock", description="First part of every key and channel."
    )
    generation: Annotated[int, Interval(ge=1, le=2**31)] | None = Field(
        None, description="Generation of the projections; none: the one that is named live."
    )
    connect_timeout_s: Annotated[float, Interval(ge=0.05, le=60)] = Field(
        2.0, description="How long a connection may take."
    )
    command_timeout_s: Annotated[float, Interval(ge=0.05, le=60)] = Field(
        5.0, description="How long one command may take, the wait for a free connection included."
    )
    max_connections: Annotated[int, Interval(ge=1, le=1000)] = Field(
        16, description="Commands of one process that are under way at once."
    )
    cache_bytes: Annotated[int, Interval(ge=4096, le=2**34)] = Field(
        64 * 2**20, description="Most that the cache in the process holds, by the size in the store."
    )
    cache_ttls: CacheTtls = Field(default_factory=CacheTtls)
    push_heartbeat_s: Annotated[float, Interval(ge=0.05, le=300)] = Field(
        5.0,
        description="A subscription silent for so long is asked for a sign of life, and lost after as long again.",
    )
    retry_min_s: Annotated[float, Interval(ge=0.01, le=60)] = Field(
        0.05, description="First pause before a lost subscription is renewed; each next is twice as long."
    )
    retry_max_s: Annotated[float, Interval(ge=0.01, le=300)] = Field(2.0, description="Longest such pause.")
    consistency_timeout_s: Annotated[float, Interval(ge=0.001, le=300)] = Field(
        5.0, description="How long a read may wait for the positions that it asks for."
    )
    consistency_poll_s: Annotated[float, Interval(ge=0.001, le=5)] = Field(
        0.05, description="Longest pause between two looks at the positions while no push arrives."
    )
    probe_lease_s: Annotated[float, Interval(ge=0.1, le=3600)] = Field(
        60.0, description="After so long an unreturned probe permit frees itself."
    )
