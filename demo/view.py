"""What a gateway knows of the live state: an L1 cache that pushes keep current, and the probe permits."""

from __future__ import annotations

from collections.abc import Sequence

from demo.fleet import Deployment
from demo.known import KnownPositions
from demo.router import Proposal, Standing
from demo.sights import Lookout
from projections.errors import LiveUnavailableError
from projections.live.breaker import Breaker, initial
from projections.live.cache import LiveCache
from projections.live.entries import MISSING
from projections.live.kind import Kind
from projections.live.permits import Permit, Permits
from projections.live.provider import ProviderSettings
from projections.live.provider import initial as unset
from projections.live.store import LiveStore


class LiveView:
    """Answers without a wait, but for permits. `cache` and `known` are Listeners of Changes."""

    def __init__(self, store: LiveStore, partitions: int) -> None:
        ttls = store.settings.cache_ttls
        self.lookout = Lookout()
        self._breakers: Kind[Breaker] = Kind("breaker", self.lookout.decode, ttls.breaker_s)
        self._providers = Kind("provider", ProviderSettings.from_json, ttls.health_s)
        self.cache = LiveCache(store, partitions, (self._breakers, self._providers))
        self.known = KnownPositions()
        self._permits = Permits(store, partitions)

    @property
    def known_positions(self) -> tuple[str, ...]:
        """What the view rests on."""
        return self.known.tokens

    def standings(self, deployments: Sequence[Deployment]) -> list[Standing]:
        """Each deployment as the cache shows it; what is not known is taken to be well, as a gateway without us would."""
        found = []
        for deployment in deployments:
            breaker = self.cache.get(self._breakers, deployment.name)
            settings = self.cache.get(self._providers, deployment.provider)
            if breaker is None or breaker is MISSING:
                breaker = initial(deployment.provider, deployment.model)
            if settings is None or settings is MISSING:
                settings = unset(deployment.provider)
            found.append(Standing(deployment, breaker, settings.priority, settings.enabled))
        return found

    async def permit(self, proposal: Proposal, now_us: int) -> Permit | None:
        """A probe permit; None when there is none now, or nobody to ask."""
        try:
            return await self._permits.acquire(
                proposal.deployment.name, proposal.epoch, concurrent=proposal.permits or 1, now_us=now_us
            )
        except LiveUnavailableError:
            return None

    async def release(self, permit: Permit) -> None:
        """Give a permit back; one that cannot be given back ends by itself."""
        try:
            await self._permits.release(permit)
        except LiveUnavailableError:
            return
