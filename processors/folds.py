"""Which fold belongs to which group of topics."""

from __future__ import annotations

from events.codec import Codec
from events.reader import LogReader
from events.settings import LogSettings
from processors.fold import FoldFactory
from processors.health.agent import ProviderFold
from processors.recorded import Past
from processors.usage.agent import TenantFold
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD
from projections.live.store import LiveStore


def fold_factories(
    settings: LogSettings, codec: Codec, reader: LogReader, store: LiveStore
) -> dict[str, FoldFactory]:
    """By the lead topic of a slot, what makes its fold: for a worker, and for a rebuild."""
    return {
        TENANT_LEAD: lambda slot: TenantFold(slot, Past(settings, codec, reader, slot.partition), store),
        PROVIDER_LEAD: lambda slot: ProviderFold(slot, Past(settings, codec, reader, slot.partition), store),
    }
