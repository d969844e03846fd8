"""docker-compose.yml: pinned, watched, and spoken in names that the settings know."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import yaml
from pydantic import BaseModel

from api.settings import Settings
from tests.unit.repository.checkout import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("interlock:")}


def runs_once(name: str) -> bool:
    """Whether others wait for this service to end, not to be healthy."""
    waits = [service["depends_on"].get(name) for service in SERVICES.values() if "depends_on" in service]
    return {"condition": "service_completed_successfully"} in waits


def test_production_has_every_part() -> None:
    """The log, the registry, the three stores, and our own processes with two workers."""
    assert SERVICES.keys() == {
        "kafka",
        "registry",
        "valkey",
        "postgres",
        "chroma",
        "topics-init",
        "worker",
        "sink",
        "api",
    }
    assert SERVICES["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_to_a_full_version(name: str) -> None:
    """A tag has a version of two numbers at least, so that two machines run the same."""
    assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z0-9]+)?$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_or_runs_once(name: str) -> None:
    """A service that stays has a health check; one that ends is waited for by the others."""
    check = SERVICES[name].get("healthcheck", {})
    assert "test" in check or (runs_once(name) and SERVICES[name]["restart"] == "no")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    """Each dependency is a service of this file, and waited for by its condition."""
    for needed, wait in SERVICES[name].get("depends_on", {}).items():
        assert wait["condition"] == (
            "service_completed_successfully" if runs_once(needed) else "service_healthy"
        )


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_the_loopback_only(name: str) -> None:
    """No server without a password is seen from another machine."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_a_setting_in_the_environment_is_one_that_the_operating_guide_explains(name: str) -> None:
    """Whoever changes a value here finds in docs/operating.md what it means."""
    explained = set(re.findall(r"`(INTERLOCK_\w+)`", (ROOT / "docs" / "operating.md").read_text()))
    assert OURS[name]["environment"].keys() <= explained


@pytest.mark.parametrize("name", OURS)
def test_a_setting_in_the_environment_is_one_that_a_section_knows(name: str) -> None:
    """A misspelt name would leave the default in force."""
    known = {
        f"INTERLOCK_{section}__{field}".upper()
        for section, settings in Settings.model_fields.items()
        for field in cast("type[BaseModel]", settings.annotation).model_fields
    }
    assert OURS[name]["environment"].keys() <= known
