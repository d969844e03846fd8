"""What a request is answered with: the open connections of one API process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.kinds import Kinds
from api.live_reads import LiveReads
from api.log_port import LogPort
from api.metrics import ApiMetrics
from api.settings import Settings
from projections.analytics.library import Library
from projections.history.queries.reader import HistoryReader
from projections.live.cache import LiveCache
from projections.live.store import LiveStore


@dataclass(frozen=True, slots=True)
class Ports:
    """The log, the live store with its cache, the history, the analytics, and what counts them."""

    settings: Settings
    log: LogPort
    store: LiveStore
    cache: LiveCache
    reads: LiveReads
    history: HistoryReader
    analytics: Library
    kinds: Kinds
    metrics: ApiMetrics


async def ports_of(request: Request) -> Ports:
    """The ports of the application that the request came to."""
    ports: Ports = request.app.state.ports
    return ports


InPorts = Annotated[Ports, Depends(ports_of)]
