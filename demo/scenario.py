"""One run, all of it: what follows from the options, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass

from demo.errors import BadInputError
from demo.incidents import Outage, outages_of
from demo.options import TRAFFIC_WALL_S, DemoOptions
from demo.traffic import Request, requests_of
from demo.world import TIMEOUT_MS

MAX_SPEED = 200.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests by arrival, the outages meanwhile, and how fast history runs. `end_us`: when the last call has ended."""

    requests: tuple[Request, ...]
    outages: tuple[Outage, ...]
    speed: float
    end_us: int


def scenario_of(options: DemoOptions) -> Scenario:
    """BadInputError when there is nothing to play, or too much for one run."""
    requests = requests_of(options)
    if not requests:
        raise BadInputError("no request arrives within MINUTES: give more of them")
    last_us = requests[-1].at_us
    end_us = last_us + TIMEOUT_MS * 1000
    span_s = (last_us - options.at_us) / 1_000_000
    speed = options.speed or max(1.0, span_s / TRAFFIC_WALL_S)
    if speed > MAX_SPEED:
        raise BadInputError(
            f"the traffic spans {span_s / 60:.0f} minutes, too many for {TRAFFIC_WALL_S:g} s: give MINUTES or SPEED"
        )
    return Scenario(requests, outages_of(options, end_us), speed, end_us)
