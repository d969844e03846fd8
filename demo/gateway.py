"""One gateway: a process that serves its share of the requests and publishes what it decided and what came of it.

`python -m demo.gateway PLAN.json`. It writes `gateway-N.ready` once it sees the live state, waits for `start`, and ends
by itself when all its requests are served and all its events acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from api.logs import set_up_logging
from demo.chance import chance
from demo.clock import VirtualClock
from demo.fleet import TIERS, Deployment
from demo.incidents import Outage
from demo.ledger import Ledger
from demo.outgoing import Outgoing
from demo.plan import GatewayPlan
from demo.router import Assessment, Proposal, assess, decided, proposals
from demo.scenario import scenario_of
from demo.traffic import Request
from demo.view import LiveView
from demo.world import Answer, answer
from events.codec import open_codec
from events.envelope import FAILURES, OutcomeKind
from events.ids import uuid7
from events.pricing import PRICE_VERSION, price_call
from events.publisher import Publisher
from events.usage_recorded import UsageRecorded
from projections.live.changes import Changes
from projections.live.permits import Permit
from projections.live.store import LiveStore

MAX_ATTEMPTS = 3
MAX_IN_FLIGHT = 500
READY_WITHIN_S = 60.0
START_POLL_S = 0.005
BOUND_S = 600.0

TRIED_ELSEWHERE = FAILURES | {OutcomeKind.RATE_LIMITED}
"""Outcomes after which another deployment is tried."""


@dataclass(slots=True)
class Choice:
    """What one try of a request goes to; `permit` has to be given back."""

    proposal: Proposal | None
    assessments: tuple[Assessment, ...]
    refused: set[str] = field(default_factory=set)
    permit: Permit | None = None


class Gateway:
    """Routes by what the live projection says, calls the simulated providers, and says so on the log."""

    def __init__(
        self,
        plan: GatewayPlan,
        clock: VirtualClock,
        outages: Sequence[Outage],
        live: LiveView,
        outgoing: Outgoing,
    ) -> None:
        self._seed = plan.options.seed
        self._name = plan.name
        self._clock = clock
        self._outages = outages
        self._live = live
        self._outgoing = outgoing
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)

    async def serve_all(self, requests: Sequence[Request]) -> None:
        """Serve each request at its time."""
        async with asyncio.TaskGroup() as tasks:
            for request in requests:
                await self._clock.until(request.at_us)
                await self._room.acquire()
                tasks.create_task(self._serve(request)).add_done_callback(lambda _: self._room.release())

    async def _serve(self, request: Request) -> None:
        """Try up to MAX_ATTEMPTS deployments, each once."""
        tried: set[str] = set()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            choice = await self._choose(request, tried)
            routing_id = self._publish_decision(request, attempt, choice)
            if choice.proposal is None:
                return
            deployment = choice.proposal.deployment
            tried.add(deployment.name)
            sent_us = self._clock.now_us()
            found = answer(self._seed, self._outages, deployment, request, attempt=attempt, at_us=sent_us)
            await self._clock.until(sent_us + found.latency_ms * 1000)
            self._publish_usage(request, attempt, choice.proposal, found, routing_id)
            if choice.permit is not None:
                await self._live.release(choice.permit)
            if found.outcome not in TRIED_ELSEWHERE:
                return

    async def _choose(self, request: Request, tried: set[str]) -> Choice:
        now_us = self._clock.now_us()
        assessments = assess(self._live.standings(TIERS[request.tier]), tried, now_us)
        choice = Choice(None, assessments)
        for proposal in proposals(assessments, now_us):
            if proposal.permits is not None:
                choice.permit = await self._live.permit(proposal, now_us)
                if choice.permit is None:
                    choice.refused.add(proposal.deployment.name)
                    continue
            choice.proposal = proposal
            break
        return choice

    def _publish_decision(self, request: Request, attempt: int, choice: Choice) -> str:
        now_us = self._clock.now_us()
        deployment = choice.proposal.deployment if choice.proposal else None
        estimate = (
            {deployment.name: _price(deployment, now_us, request.input_tokens, request.output_tokens)}
            if deployment
            else {}
        )
        event = decided(
            request,
            attempt,
            choice.assessments,
            choice.proposal,
            choice.refused,
            event_id=uuid7(now_us, os.urandom(10)),
            now_us=now_us,
            source=self._name,
            known_positions=self._live.known_positions,
            estimated_cost_nano_usd=estimate,
        )
        self._outgoing.put(event)
        return event.event_id

    def _publish_usage(
        self, request: Request, attempt: int, proposal: Proposal, found: Answer, routing_id: str
    ) -> None:
        now_us = self._clock.now_us()
        deployment = proposal.deployment
        cost = _price(deployment, now_us, found.input_tokens, found.output_tokens)
        self._outgoing.put(
            UsageRecorded(
                event_id=uuid7(now_us, os.urandom(10)),
                occurred_at=now_us,
                source=self._name,
                tenant=request.tenant,
                correlation_id=request.request_id,
                causation_id=routing_id,
                request_id=request.request_id,
                provider=deployment.provider,
                model=deployment.model,
                org=request.org,
                team=request.team,
                user=request.user,
                api_key=request.api_key,
                outcome=found.outcome,
                status_code=found.status_code,
                error=found.error,
                input_tokens=found.input_tokens,
                output_tokens=found.output_tokens,
                latency_ms=found.latency_ms,
                first_token_ms=found.first_token_ms,
                retry_after_ms=found.retry_after_ms,
                cost_nano_usd=cost,
                price_version=None if cost is None else PRICE_VERSION,
                breaker_epoch=proposal.epoch,
                attempt=attempt,
            )
        )


def _price(deployment: Deployment, at_us: int, input_tokens: int, output_tokens: int) -> int | None:
    return price_call(
        deployment.provider, deployment.model, at_us, input_tokens=input_tokens, output_tokens=output_tokens
    )


async def run(plan: GatewayPlan) -> None:
    """Serve the plan's share of the traffic, to the end."""
    options = plan.options
    scenario = scenario_of(options)
    mine = [request for request in scenario.requests if request.gateway == plan.number]
    codec = open_codec(plan.log)
    async with AsyncExitStack() as resources:
        store = await resources.enter_async_context(LiveStore(plan.live))
        live = LiveView(store, plan.log.partitions)
        await resources.enter_async_context(live.cache)
        await resources.enter_async_context(Changes(store, (live.cache, live.known)))
        await live.cache.ready(READY_WITHIN_S)
        plan.ready_path.touch()
        clock = await _started(plan, scenario.speed)
        publisher = await resources.enter_async_context(Publisher(plan.log, codec, clock.now_ms))
        ledger = resources.enter_context(Ledger(plan.ledger_path))
        outgoing = Outgoing(publisher, ledger, chance(options.seed, "repeats", plan.number))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outgoing.run())
            await Gateway(plan, clock, scenario.outages, live, outgoing).serve_all(mine)
            outgoing.close()
        live.lookout.save(plan.sights_path)


async def _started(plan: GatewayPlan, speed: float) -> VirtualClock:
    """The clock, once the start instant is told."""
    async with asyncio.timeout(BOUND_S):
        while not plan.start_path.exists():  # noqa: ASYNC110 - another process tells, by a file
            await asyncio.sleep(START_POLL_S)
    return VirtualClock(plan.options.at_us, int(plan.start_path.read_text()), speed)


if __name__ == "__main__":
    set_up_logging("WARNING")
    asyncio.run(run(GatewayPlan.model_validate_json(Path(sys.argv[1]).read_bytes())))
