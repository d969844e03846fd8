"""How much happens in a simulation, to whom, and how much of it is odd."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

Deployment = tuple[str, str, str | None]

TENANTS = ("acme", "globex", "initech", "a|b;c=d%", "hooli")
DEPLOYMENTS = (
    ("openai", "gpt-4o", None),
    ("openai", "gpt-4o-mini", "eu"),
    ("vertex", "gemini-1.5-pro", None),
    ("local", "llama", "rack1"),
    ("local", "llama", "rack2"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much happens, and how much of it is odd."""

    duration_s: float
    usage: int
    bad: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    operators: float = 0.0
    """Share of the usage's number that operators' changes and checks come to."""
    adjusted: float = 0.0
    """Share of the usage's number that adjustments come to; none of them gives money back."""

    @classmethod
    def drawn(cls, random: Random) -> Plan:
        """A plan of some seed."""
        return cls(
            duration_s=random.choice((20.0, 60.0, 120.0, 300.0, 900.0)),
            usage=random.choice((60, 200, 400)),
            bad=random.choice((0.0, 0.03, 0.15)),
            duplicates=random.choice((0.0, 0.05, 0.3)),
            late=random.choice((0.0, 0.05, 0.3)),
            operators=random.choice((0.02, 0.1, 0.3)),
        )
