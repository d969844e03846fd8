"""Which fold belongs to which group of topics."""

from __future__ import annotations

from collections.abc import Callable

from processors.fold import FoldFactory
from processors.health.agent import ProviderFold
from processors.recorded import Past
from processors.usage.agent import TenantFold
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD, Slot
from projections.live.store import LiveStore


def fold_factories(past_of: Callable[[Slot], Past], store: LiveStore) -> dict[str, FoldFactory]:
    """By the lead topic of a slot, what makes its fold: for a worker, and for a rebuild."""
    return {
        TENANT_LEAD: lambda slot: TenantFold(slot, past_of(slot), store),
        PROVIDER_LEAD: lambda slot: ProviderFold(slot, past_of(slot), store),
    }
