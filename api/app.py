"""The HTTP application, put together from the settings: the composition root of `interlock serve`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import openapi
from api.allow import allowed_methods
from api.ingest import wall_clock_us
from api.kinds import Kinds
from api.live_reads import LiveReads, PushedPositions
from api.log_port import LogPort
from api.metrics import ApiMetrics
from api.middleware import BodyLimit, InFlightLimit, RequestContext
from api.ports import Ports
from api.problems import add_handlers
from api.routes import (
    analytics,
    breakers,
    budgets,
    decisions,
    events,
    health,
    history,
    metrics,
    providers,
    spend,
    status,
    usage_history,
)
from api.settings import Settings
from api.version import VERSION
from events.errors import EventsError
from events.pricing import price_call
from events.registry import open_registry
from projections.analytics.library import Library
from projections.history.queries.reader import HistoryReader
from projections.live.cache import LiveCache
from projections.live.changes import Changes
from projections.live.consistency import Waits
from projections.live.store import LiveStore

TAGS = [
    {"name": "events", "description": "Append to the log."},
    {"name": "breakers", "description": "Circuit breakers of deployments."},
    {"name": "providers", "description": "Settings and health of providers."},
    {"name": "budgets", "description": "What may be spent, and how much of it is gone."},
    {"name": "spend", "description": "What was spent, and where requests went."},
    {"name": "history", "description": "What was, when and why."},
    {"name": "analytics", "description": "What stands out, what it is like, and what could cost less."},
    {"name": "status", "description": "How far everything is."},
    {"name": "health", "description": "For load balancers and monitoring."},
]

ROUTERS = tuple(
    routes.router
    for routes in (
        events,
        breakers,
        providers,
        budgets,
        spend,
        history,
        usage_history,
        decisions,
        analytics,
        status,
        health,
        metrics,
    )
)

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The application. It starts also while the log or the live store is away, and answers 503 until they are back."""
    counted = ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_ports(settings, counted) as ports:
            app.state.ports = ports
            yield

    # The page at /docs comes whole from here: where there is no way out to the internet, too.
    app = FastAPIOffline(
        title="Interlock",
        version=VERSION,
        lifespan=lifespan,
        openapi_tags=TAGS,
        docs_url="/docs",
        redoc_url=None,
    )
    for router in ROUTERS:
        app.include_router(router)
    add_handlers(app, lambda path: allowed_methods(ROUTERS, path))
    openapi.install(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_body_bytes=settings.api.max_body_bytes)
    app.add_middleware(InFlightLimit, metrics=counted, limit=settings.api.max_in_flight_requests)
    app.add_middleware(RequestContext, metrics=counted)
    return app


@asynccontextmanager
async def open_ports(settings: Settings, counted: ApiMetrics) -> AsyncIterator[Ports]:
    """Open all that requests are answered with, and close it again in the other order."""
    log, live = settings.log, settings.live
    registry = open_registry(log.registry_url, log.topic_prefix, log.schemas_folder)
    async with AsyncExitStack() as resources:
        log_port = await resources.enter_async_context(LogPort(log, registry))
        store = await resources.enter_async_context(LiveStore(live))
        cache = await resources.enter_async_context(LiveCache(store, log.partitions))
        waits = Waits(store, log.partitions, log_port.ends.ends)
        pushed = PushedPositions()
        # The cache is told first: then no cached state is older than the positions that were heard.
        await resources.enter_async_context(Changes(store, [cache, pushed, waits]))
        reads = LiveReads(store, cache, waits, pushed, partitions=log.partitions, lookups=counted.lookups)
        history = await resources.enter_async_context(HistoryReader(settings.history))
        library = await resources.enter_async_context(Library(settings.analytics))
        warming = asyncio.create_task(asyncio.to_thread(_load_prices))
        resources.callback(warming.cancel)
        kinds = Kinds.of(live.cache_ttls)
        yield Ports(settings, log_port, store, cache, reads, history, library, kinds, counted)


def _load_prices() -> None:
    """The price list takes a while to load; the first request need not wait for it."""
    try:
        price_call("openai", "gpt-4o", wall_clock_us(), input_tokens=1, output_tokens=1)
    except EventsError as error:
        _log.warning("prices cannot be loaded", error=str(error))
