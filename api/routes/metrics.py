"""`/metrics`: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.ports import InPorts
from api.routes.status import log_ends, sink_positions, slot_views
from events.positions import Partition

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(ports: InPorts) -> Response:
    """In the text format of Prometheus. The lag is asked for at each scrape; it stays as it was while a part is away."""
    problems: list[str] = []
    ends = await log_ends(ports, problems)
    for slot in await slot_views(ports, ports.store, ends, problems) if ends is not None else ():
        number = int(slot.slot.rpartition(".")[2])
        ports.metrics.set_lag(
            {Partition(topic, number): records for topic, records in (slot.lag or {}).items()}
        )
    if ends is not None:
        for name, positions in (await sink_positions(ports, problems)).items():
            ports.metrics.set_sink_lag(
                name, {place: max(0, ends[place] - offset) for place, offset in positions.items()}
            )
    return Response(generate_latest(ports.metrics.registry), media_type=CONTENT_TYPE_LATEST)
