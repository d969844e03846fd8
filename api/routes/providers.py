"""`/v1/providers`: their settings, and how they are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.asked import AskedFor, say_positions
from api.generation_asked import InLook
from api.openapi import problems
from api.ports import InPorts
from api.problems import ProblemError, not_found
from api.resources.health import ProviderHealthView, health_of_provider
from api.resources.provider import ProviderBody, ProviderList, ProviderView, provider_view
from api.resources.values import Accepted
from api.writes import IfMatch, append_one, check_if_match, operator_event
from events.envelope import Name
from events.provider_changed import ProviderChanged
from projections.live.breaker import effective_state
from projections.live.health_view import deployment_view
from projections.live.health_view import provider_view as rolled_up
from projections.live.provider import initial

router = APIRouter(prefix="/v1", tags=["providers"])

Provider = Annotated[Name, Path(description="Provider, for example openai.", examples=["openai"])]


@router.get("/providers", summary="All providers", responses=problems(404, 422, 503, 504))
async def list_providers(asked: AskedFor, ports: InPorts, look: InLook, response: Response) -> ProviderList:
    """Providers that were set or seen in traffic, by name."""
    answer = await look.reads.every(asked, ports.kinds.provider)
    deployments = await look.reads.deployments_by_provider()
    say_positions(response, answer.positions)
    names = sorted(answer.states.keys() | deployments.keys())
    return ProviderList(
        providers=[
            provider_view(answer.states.get(name, initial(name)), deployments.get(name, [])) for name in names
        ]
    )


@router.get("/providers/{provider}", summary="One provider", responses=problems(404, 422, 503, 504))
async def show_provider(
    provider: Provider, asked: AskedFor, ports: InPorts, look: InLook, response: Response
) -> ProviderView:
    """The provider's settings and the deployments seen of it. `ETag` is the version of the settings."""
    answer = await look.reads.some(asked, ports.kinds.provider, [provider])
    deployments = await look.reads.deployments(provider)
    if not answer.states and not deployments:
        raise _unknown(provider)
    settings = answer.states.get(provider, initial(provider))
    response.headers["ETag"] = f'"{settings.version}"'
    say_positions(response, answer.positions)
    return provider_view(settings, deployments)


@router.get(
    "/providers/{provider}/health", summary="Health of a provider", responses=problems(404, 422, 503, 504)
)
async def show_health(
    provider: Provider, asked: AskedFor, ports: InPorts, look: InLook, response: Response
) -> ProviderHealthView:
    """Calls, checks and breakers of the provider, put together with a verdict and its reasons."""
    reads, kinds = look.reads, ports.kinds
    answer = await reads.some(asked, kinds.provider, [provider])
    deployments = await reads.deployments(provider)
    checks = await reads.also(asked, kinds.check, [provider, *deployments])
    if not deployments and not checks and not answer.states:
        raise _unknown(provider)
    calls = await reads.also(asked, kinds.health, deployments)
    breakers = await reads.also(asked, kinds.breaker, deployments)
    now_us = look.at_us
    views = [
        deployment_view(
            name,
            calls=calls.get(name),
            check=checks.get(name),
            breaker_state=effective_state(breakers[name], now_us) if name in breakers else None,
            now_us=now_us,
        )
        for name in deployments
    ]
    say_positions(response, answer.positions)
    return health_of_provider(rolled_up(provider, views, check=checks.get(provider), now_us=now_us), now_us)


@router.put(
    "/providers/{provider}",
    status_code=202,
    summary="Set a provider",
    responses=problems(400, 412, 413, 422, 429, 503),
)
async def set_provider(
    *,
    provider: Provider,
    body: ProviderBody,
    request: Request,
    ports: InPorts,
    response: Response,
    if_match: IfMatch = None,
) -> Accepted:
    """Set the provider's settings, whole. A refused credential is taken for renewed from now on."""
    known = (await ports.cache.fetch_newest(ports.kinds.provider, [provider]))[provider] or initial(provider)
    check_if_match(if_match, known.version)
    event = operator_event(
        ProviderChanged,
        correlation_id=request.state.request_id,
        provider=provider,
        version=known.version + 1,
        **{name: getattr(body, name) for name in type(body).model_fields},
    )
    return Accepted(
        version=known.version + 1,
        positions=await append_one(ports, event, response, request.state.traceparent),
    )


def _unknown(provider: str) -> ProblemError:
    return not_found("provider", f"{provider} was neither set nor seen in traffic: PUT it, or send its usage")
