"""What a router pays to ask for a breaker: the look-up in L1 and `effective_state`, beside pybreaker and purgatory.

Each is asked by the deployment's name, once closed and once open. The peers know their own process only; ours is the
state that all processes share. What a gateway gives beside is the time, which it has read for the request anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from timeit import Timer
from typing import Any, Final

import pybreaker
from purgatory import SyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from api.kinds import Kinds
from bench.lab import Lab
from bench.report import Row, show
from events.breaker_transitioned import BreakerState
from events.settings import LogSettings
from projections.live.breaker import Breaker, effective_state, initial
from projections.live.cache import LiveCache
from projections.live.changes import Changes
from projections.live.commit import Commit
from projections.live.slots import slot_of
from projections.live.store import LiveStore
from projections.settings import LiveSettings

ROUNDS = 9
CALLS = 20_000
READY_WITHIN_S = 10.0
CLOSED: Final = "openai/gpt-4o@eastus"
OPEN: Final = "anthropic/claude-sonnet-4-5"
OTHERS: Final = 100

Check = Callable[[], object]


async def run(lab: Lab) -> dict[str, Any]:
    """The figures, microseconds; `breaker_check_us` is the slower one of a closed and an open breaker."""
    log, live = await lab.settings("breaker-check", 4)
    kind = Kinds.of(live.cache_ttls).breaker
    await _store_breakers(log, live)
    async with (
        LiveStore(live) as store,
        LiveCache(store, log.partitions, [kind]) as cache,
        Changes(store, [cache]),
    ):
        await cache.ready(READY_WITHIN_S)
        now_us = time.time_ns() // 1000

        def ask(deployment: str) -> BreakerState:
            breaker = cache.get(kind, deployment)
            assert isinstance(breaker, Breaker)
            return effective_state(breaker, now_us)

        assert ask(CLOSED) is BreakerState.CLOSED
        assert ask(OPEN) is BreakerState.OPEN
        checks: dict[str, Check] = {
            "interlock, closed": lambda: ask(CLOSED),
            "interlock, open": lambda: ask(OPEN),
            **_pybreaker(),
            **_purgatory(),
        }
        found = await _measure(checks)
    show("check of a breaker", [Row(name, check_us, "us") for name, check_us in found.items()])
    named = {f"{name.replace(', ', '_')}_us": round(check_us, 3) for name, check_us in found.items()}
    return {**named, "breaker_check_us": max(named["interlock_closed_us"], named["interlock_open_us"])}


async def _measure(checks: dict[str, Check]) -> dict[str, float]:
    """Medians of microseconds for a call, each check in turn; the event loop has its say in between."""
    rounds: dict[str, list[float]] = {name: [] for name in checks}
    for _ in range(ROUNDS):
        for name, check in checks.items():
            rounds[name].append(Timer(check).timeit(CALLS) / CALLS * 1e6)
            await asyncio.sleep(0)
    return {name: median(times) for name, times in rounds.items()}


async def _store_breakers(log: LogSettings, live: LiveSettings) -> None:
    """Put a closed and an open breaker, and many others, where the workers would put them."""
    now_us = time.time_ns() // 1000
    tripped = replace(
        initial(*OPEN.split("/")), state=BreakerState.OPEN, open_until_us=now_us + 3_600_000_000
    )
    others = [initial("openai", f"model-{number:03}") for number in range(OTHERS)]
    async with LiveStore(live) as store:
        for breaker in (initial("openai", "gpt-4o", "eastus"), tripped, *others):
            lease = await store.acquire(slot_of("breaker", breaker.deployment, log.partitions), "bench")
            writes = {f"breaker:{breaker.deployment}": breaker.to_json()}
            await store.commit(lease, Commit({}, writes, (), now_us))


def _pybreaker() -> dict[str, Check]:
    closed, tripped = (
        pybreaker.CircuitBreaker(fail_max=5),
        pybreaker.CircuitBreaker(fail_max=5, reset_timeout=3600),
    )
    tripped.open()
    breakers = {CLOSED: closed, OPEN: tripped}

    def ask(deployment: str) -> None:
        try:
            breakers[deployment].call(_nothing)
        except pybreaker.CircuitBreakerError:
            return

    return {"pybreaker, closed": lambda: ask(CLOSED), "pybreaker, open": lambda: ask(OPEN)}


def _purgatory() -> dict[str, Check]:
    factory = SyncCircuitBreakerFactory(default_threshold=1, default_ttl=3600)
    with contextlib.suppress(ConnectionError), factory.get_breaker(OPEN):
        raise ConnectionError

    def ask(deployment: str) -> None:
        try:
            with factory.get_breaker(deployment):
                _nothing()
        except OpenedState:
            return

    return {"purgatory, closed": lambda: ask(CLOSED), "purgatory, open": lambda: ask(OPEN)}


def _nothing() -> None:
    """The call that a breaker of the peers is asked for."""
