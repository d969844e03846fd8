"""What the history tells of one decision, and what the command line prints of it all."""

from __future__ import annotations

import asyncio
import json
import sys

from events.breaker_transitioned import BreakerState
from events.envelope import OutcomeKind
from events.routing_decided import Candidate, RoutingDecided
from events.usage_recorded import UsageRecorded
from tests.integration.api.told import HOUR_US, START_US, WHOLE, Told, at, transition
from tests.integration.api.world import World


async def test_a_decision_is_explained_with_what_was_known_then(told: Told) -> None:
    """The breakers as they stood at its instant, not as they became, and the calls that followed."""
    opened_us = START_US - 48 * HOUR_US
    await told.place.add(
        transition(1, opened_us, BreakerState.CLOSED, BreakerState.OPEN, provider="deciding"),
        transition(2, opened_us + 60_000_000, BreakerState.OPEN, BreakerState.CLOSED, provider="deciding"),
        RoutingDecided(
            **at(opened_us + 1_000_000),
            tenant="decider",
            request_id="why/this one",
            provider="openai",
            model="gpt-4o",
            strategy="priority",
            candidates=(
                Candidate(deployment="deciding/claude@eu", breaker_state="OPEN", verdict="breaker_open"),
                Candidate(deployment="openai/gpt-4o", breaker_state="CLOSED", verdict="chosen"),
            ),
            estimated_cost_nano_usd=1_500_000_000,
        ),
        UsageRecorded(
            **at(opened_us + 2_000_000),
            tenant="decider",
            request_id="why/this one",
            provider="openai",
            model="gpt-4o",
            outcome=OutcomeKind.SUCCESS,
        ),
    )
    answer = await told.world.read("/v1/decisions/why/this one", tenant="decider")
    [attempt] = answer["attempts"]
    assert (attempt["chosen"], attempt["decision"]["estimated_cost_usd"]) == ("openai/gpt-4o", "1.5")
    passed_over, chosen = attempt["considered"]
    assert (passed_over["verdict"], passed_over["breaker"]["state"]) == ("breaker_open", "OPEN")
    assert passed_over["breaker"]["version"] == 1
    assert (chosen["verdict"], chosen["breaker"]) == ("chosen", None)
    assert [call["outcome"] for call in answer["calls"]] == ["SUCCESS"]
    assert (await told.world.http.get("/v1/decisions/nobody-asked")).status_code == 404


async def run(world: World, *arguments: str) -> str:
    """What `interlock history ...` prints, asked of this API."""
    argv = ["-m", "api.cli", "history", *arguments, "--api", str(world.http.base_url)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_command_line_shows_what_the_api_answers(told: Told) -> None:
    """Tables for people, the API's JSON for programs."""
    span = ("--from", WHOLE["from"], "--to", WHOLE["to"])
    listed = await run(told.world, "usage", "--tenant", "acme", "--limit", "5", *span)
    assert "acme" in listed
    assert "--cursor" in listed
    series = json.loads(await run(told.world, "series", "--by", "tenant", "--by", "model", "--json", *span))
    assert series["by"] == ["tenant", "model"]
    assert "p95 ms" in await run(told.world, "series", "--by", "provider", *span)
    assert "globex" in await run(told.world, "top", "--by", "tenant", "--measure", "calls", *span)
    assert "openai-1" in await run(told.world, "cost", *span)
    assert "hour, UTC" in await run(told.world, "trends", "--tenant", "acme", *span)
    call = told.calls[0]
    assert call.outcome in await run(told.world, "decision", call.request_id)
