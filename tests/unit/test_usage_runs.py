"""What runs of outcomes take on the log."""

from __future__ import annotations

from random import Random
from typing import Any

from events.codec import Codec
from events.envelope import MAX_LONG
from events.registry import FolderRegistry
from processors.usage.observe import Source, observed
from processors.usage.runs import Runs

KINDS = ("SUCCESS", "SERVER_ERROR", "RATE_LIMITED", "TIMEOUT")
MOST_BYTES = 200_000


def test_the_events_of_a_full_batch_are_no_larger_than_it_may_be() -> None:
    """Whatever the outcomes: the last one that was taken may go beyond, and the next batch takes the others."""
    random = Random(3)
    codec = Codec(FolderRegistry())
    for longest_error in (0, 10, 1_000, 5_000):
        runs = Runs(MOST_BYTES, 0)
        taken = 0
        while runs.bytes_left > 0:
            runs.observe(_deployment(random), _usage(random, longest_error), taken)
            taken += 1
        source = Source("usage", 2**31 - 1, MAX_LONG - taken, MAX_LONG)
        sizes = [len(codec.encode(event)) for event in observed(runs.by_deployment, source, {}, MAX_LONG)]
        assert sum(sizes) <= MOST_BYTES - runs.bytes_left
        assert -runs.bytes_left < 8_300
        assert taken > MOST_BYTES // 8_300


def _deployment(random: Random) -> tuple[str, str, str | None]:
    name = "\U0001f980" * random.choice((1, 256))
    return name, random.choice(("m", name)), random.choice((None, name))


def _usage(random: Random, longest_error: int) -> dict[str, Any]:
    return {
        "outcome": random.choice(KINDS),
        "breaker_epoch": random.choice((None, MAX_LONG)),
        "occurred_at": random.choice((random.randrange(10), MAX_LONG - random.randrange(10**7))),
        "latency_ms": random.randrange(7 * 86_400_000),
        "error": random.choice((None, "\U0001f980" * random.randrange(longest_error + 1))),
        "retry_after_ms": random.choice((None, 2**31 - 1)),
    }
