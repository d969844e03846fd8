"""What a worker proves beside its folding: drift is a metric and an alert, once."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from events.alert_raised import AlertKind, AlertRaised, AlertSeverity
from processors.verify.settings import VerifySettings
from projections.live.slots import slot_of
from tests.integration.live_server import LiveServer, eventually
from tests.integration.rebuild.site import history
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import usage

pytestmark = pytest.mark.any_broker

BREAKER = "breaker:anthropic/claude"


def sample(name: str, **labels: str) -> float:
    """A metric of this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_worker_finds_what_was_tampered_with_and_raises_it_once(
    log_address: str, server: LiveServer
) -> None:
    """Slots that are what the log says are counted equal; a forged key is an alert, until it is mended. A flush is none."""
    async with Rig(settings_of_worker(log_address), server.settings()) as rig:
        failed = sample("interlock_verify_slots_total", result="failed")
        slot = slot_of("breaker", "anthropic/claude", rig.log.partitions)

        async def drift() -> list[AlertRaised]:
            return [event for event in await rig.events("alerts") if event.kind is AlertKind.OTHER]

        async def further(result: str, rounds: int) -> None:
            since = sample("interlock_verify_slots_total", result=result)

            async def is_done() -> bool:
                return sample("interlock_verify_slots_total", result=result) >= since + rounds

            await eventually(is_done)

        async with rig.worker(VerifySettings(share=1.0, pause_s=0.05)):
            await history(rig)
            await further("equal", len(rig.slots))
            assert await drift() == []
            key = rig.store.keyspace.prefix(slot) + BREAKER
            sound = await rig.store.connection.command("GET", key)
            await rig.store.connection.command("SET", key, b"{}")
            await further("different", 2)
            [alert] = await drift()
            assert (alert.severity, alert.subject) == (AlertSeverity.CRITICAL, f"live/{slot}")
            assert alert.title.startswith(f"{slot}: 1 keys are not what the log says, first {BREAKER}: ")
            assert sample("interlock_verify_drift_keys", slot=str(slot)) == 1
            await rig.store.connection.command("SET", key, sound)
            await rig.append(usage("acme"))
            await further("equal", 2 * len(rig.slots))
            assert sample("interlock_verify_drift_keys", slot=str(slot)) == 0
            assert len(await drift()) == 1
            assert sample("interlock_verify_slots_total", result="failed") == failed
            async with server.client() as client:
                await client.flushall()
            await rig.folded()
            await further("equal", 2 * len(rig.slots))
            assert len(await drift()) == 1
