"""The simulated world's standing facts: providers, deployments, who prefers which, and who asks.

`openai` and `anthropic` are named as in the file of incidents; `azure` has no incidents in it and so stands for a
provider that stays up. Model names are ones that the price list knows for November 2023, so costs are real.
"""

from __future__ import annotations

from dataclasses import dataclass

from events.envelope import deployment_name


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at a provider, with how fast it answers when all is well."""

    provider: str
    model: str
    first_token_ms: int
    ms_per_token: int

    @property
    def name(self) -> str:
        """`provider/model`."""
        return deployment_name(self.provider, self.model, None)


@dataclass(frozen=True, slots=True)
class Team:
    """Who asks: a team of an organisation of a tenant, with its share of all requests."""

    tenant: str
    org: str
    name: str
    users: int
    share: int


OPENAI_FAST = Deployment("openai", "gpt-3.5-turbo-1106", 350, 12)
OPENAI_SMART = Deployment("openai", "gpt-4-1106-preview", 700, 30)
ANTHROPIC = Deployment("anthropic", "claude-2", 600, 25)
AZURE_FAST = Deployment("azure", "gpt-35-turbo-16k", 400, 14)
AZURE_SMART = Deployment("azure", "gpt-4-32k", 900, 40)

DEPLOYMENTS = {d.name: d for d in (OPENAI_FAST, OPENAI_SMART, ANTHROPIC, AZURE_FAST, AZURE_SMART)}

PRIORITIES = {"openai": 10, "anthropic": 20, "azure": 30}
"""Set through ProviderChanged; the lower one is tried first."""

TIERS: dict[str, tuple[Deployment, ...]] = {
    "fast": (OPENAI_FAST, ANTHROPIC, AZURE_FAST),
    "smart": (OPENAI_SMART, ANTHROPIC, AZURE_SMART),
}
"""The deployments that can serve a request, by what it asks for."""

SMART_PERCENT = 20
"""Share of the requests that ask for the tier `smart`."""

TEAMS = (
    Team("acme", "retail", "search", 8, 22),
    Team("acme", "retail", "support", 5, 14),
    Team("acme", "labs", "research", 3, 6),
    Team("globex", "platform", "copilot", 12, 24),
    Team("globex", "platform", "docs", 4, 8),
    Team("initech", "core", "reports", 6, 12),
    Team("umbrella", "health", "triage", 6, 14),
)
TENANTS = tuple(sorted({team.tenant for team in TEAMS}))


def models_of(provider: str) -> tuple[str, ...]:
    """The provider's models, in the order of the fleet."""
    return tuple(deployment.model for deployment in DEPLOYMENTS.values() if deployment.provider == provider)
