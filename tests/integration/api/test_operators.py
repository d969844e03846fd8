"""What operators set: budgets, providers, overrides. A change answers with its position and shows in reads after it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud_events import usage
from tests.integration.api.world import World, new_name

pytestmark = pytest.mark.any_broker

BUDGET = {"limit_usd": "10.00", "actor": "ann", "reason": "pilot"}


async def test_a_budget_shows_what_is_left_of_it(world: World) -> None:
    """Also of what was spent before it was set; money stays exact to the nano-dollar."""
    tenant = new_name("tenant")
    await world.sent(usage(tenant, team="search", cost_usd="7.000000001"), usage(tenant, cost_usd="100"))
    path = f"/v1/budgets/{tenant}/monthly"
    token = await world.put(path, BUDGET | {"level": "TEAM", "subject": "search", "zone": "Europe/Berlin"})
    budget = await world.read(path, consistency="strong")
    assert (budget["limit_usd"], budget["spent_usd"], budget["remaining_usd"]) == (
        "10",
        "7.000000001",
        "2.999999999",
    )
    assert (budget["state"], budget["reached_percent"], budget["calls"]) == ("SOFT_LIMIT_REACHED", [50], 1)
    assert (budget["actor"], budget["reason"], budget["version"]) == ("ann", "pilot", 1)
    assert budget["period_start"] < budget["at"] < budget["period_end"]
    more = await world.sent(usage(tenant, team="search", cost_usd="3"))
    budget = await world.read(path, f"{token},{more}")
    assert (budget["state"], budget["remaining_usd"]) == ("EXHAUSTED", "0")


async def test_versions_rise_and_if_match_guards_them(world: World) -> None:
    """A change of what somebody else changed meanwhile is 412; `*` wants that there is one."""
    path = f"/v1/budgets/{new_name('tenant')}/b"
    refused = await world.http.put(path, json=BUDGET, headers={"if-match": "*"})
    assert refused.status_code == 412
    first = await world.http.put(path, json=BUDGET)
    assert (first.status_code, first.json()["version"]) == (202, 1)
    read = await world.http.get(path, params={"at_least": first.json()["positions"]})
    assert read.headers["etag"] == '"1"'
    second = await world.http.put(path, json=BUDGET | {"limit_usd": "20"}, headers={"if-match": '"1"'})
    assert (second.status_code, second.json()["version"]) == (202, 2)
    await world.read(path, second.json()["positions"])
    late = await world.http.put(path, json=BUDGET, headers={"if-match": '"1"'})
    assert (late.status_code, late.json()["type"]) == (412, "urn:interlock:problem:precondition-failed")
    assert (await world.http.put(path, json=BUDGET, headers={"if-match": "1"})).status_code == 422


async def test_of_two_changes_at_once_the_last_on_the_log_wins(world: World) -> None:
    """Nobody's accepted change is passed over, though both were made from the same version."""
    path = f"/v1/budgets/{new_name('tenant')}/b"
    await world.put(path, BUDGET | {"limit_usd": "1"})
    token = await world.put(path, BUDGET | {"limit_usd": "2"})
    budget = await world.read(path, token)
    assert (budget["limit_usd"], budget["version"]) == ("2", 2)


async def test_a_removed_budget_is_gone(world: World) -> None:
    """404 after the removal, and a new one goes on with the version."""
    tenant = new_name("tenant")
    path = f"/v1/budgets/{tenant}/b"
    await world.read(path, await world.put(path, BUDGET))
    removed = await world.http.delete(path, params={"actor": "ann", "reason": "over"})
    assert (removed.status_code, removed.json()["version"]) == (202, 2)
    gone = await world.http.get(path, params={"at_least": removed.json()["positions"]})
    assert gone.status_code == 404
    assert (await world.http.delete(path)).status_code == 404
    budget = await world.read(path, await world.put(path, BUDGET))
    assert budget["version"] == 3


async def test_budgets_are_listed_by_tenant_and_in_pages(world: World) -> None:
    """Of one tenant all at once; of all tenants as many as asked for, to be continued."""
    tenant = new_name("tenant")
    token = ""
    for name in ("a", "b", "c"):
        token = await world.put(f"/v1/budgets/{tenant}/{name}", BUDGET)
    of_tenant = await world.read(f"/v1/budgets/{tenant}", token)
    assert [budget["budget_id"] for budget in of_tenant["budgets"]] == ["a", "b", "c"]
    names, after = [], None
    while True:
        page = await world.read(
            "/v1/budgets", limit=1, consistency="strong", **({"after": after} if after else {})
        )
        names += [f"{budget['tenant']}/{budget['budget_id']}" for budget in page["budgets"]]
        after = page["next"]
        if after is None:
            break
    assert names == sorted(names)
    assert {f"{tenant}/{name}" for name in ("a", "b", "c")} <= set(names)
    assert await world.read(f"/v1/budgets/{new_name('tenant')}") == {"budgets": [], "next": None}


@pytest.mark.parametrize(
    "change, pointer",
    [
        ({"limit_usd": "-1"}, "/limit_usd"),
        ({"limit_usd": 10}, "/limit_usd"),
        ({"limit_usd": "1e3"}, "/limit_usd"),
        ({"limit_usd": "0.0000000001"}, "/limit_usd"),
        ({"zone": "Mars/Olympus"}, "/zone"),
        ({"period": "FORTNIGHT"}, "/period"),
        ({"period": "ROLLING"}, ""),
        ({"level": "TEAM"}, ""),
        ({"model": "gpt-4o"}, ""),
        ({"soft_limits_percent": [0]}, "/soft_limits_percent/0"),
        ({"hard": "yes"}, "/hard"),
        ({"limit": "5"}, "/limit"),
    ],
)
async def test_a_wrong_budget_is_422_and_named(change: dict[str, Any], pointer: str, world: World) -> None:
    """By JSON pointer; rules over several fields point at the whole."""
    response = await world.http.put("/v1/budgets/acme/b", json=BUDGET | change)
    assert response.status_code == 422, response.text
    assert pointer in [error["pointer"] for error in response.json()["errors"]]


async def test_a_provider_is_set_whole(world: World) -> None:
    """Settings, policies and version come back as they were set."""
    provider = new_name("provider")
    policy = {"consecutive_failures": 2, "failure_rate": 0.25}
    body = {"models": ["m1"], "priority": 5, "breaker_policy": policy, "attributes": {"owner": "ann"}}
    token = await world.put(f"/v1/providers/{provider}", body)
    one = await world.read(f"/v1/providers/{provider}", token)
    assert (one["version"], one["priority"], one["models"], one["attributes"]) == (
        1,
        5,
        ["m1"],
        {"owner": "ann"},
    )
    assert (one["breaker_policy"]["consecutive_failures"], one["breaker_policy"]["window_s"]) == (2, 60)
    failures = await world.sent(*(usage(provider=provider, outcome="TIMEOUT") for _ in range(2)))
    breaker = await world.read(f"/v1/breakers/{provider}/gpt-4o", f"{token},{failures}")
    assert (breaker["state"], breaker["policy_version"]) == ("OPEN", 1)


@pytest.mark.parametrize(
    "body, says",
    [
        ({"breaker_policy": {"failure_rat": 0.5}}, "failure_rat"),
        ({"breaker_policy": {"failure_rate": 1.5}}, "failure_rate"),
        ({"breaker_policy": {"minimum_calls": "10"}}, "minimum_calls"),
        ({"breaker_policy": {"slow_call_s": 7}}, "latency bounds"),
        ({"breaker_policy": 5}, "breaker_policy"),
        ({"breaker_policy": {"minimum_calls": 2**31}}, "minimum_calls"),
        ({"breaker_policy": {"minimum_calls": 10**30}}, "minimum_calls"),
        ({"priority": 10**30}, "priority"),
        ({"deployment_policies": {"p/m": {"window": "NEVER"}}}, "window"),
        ({"priority": -1}, "priority"),
        ({"attributes": {"a": 5}}, "attributes"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
async def test_a_wrong_provider_is_422_and_named(body: dict[str, Any], says: str, world: World) -> None:
    """A typing error in a policy would else leave the default in force."""
    response = await world.http.put("/v1/providers/p", json=body)
    assert response.status_code == 422, response.text
    assert says in response.text


async def test_an_override_is_in_force_until_it_is_cleared(world: World) -> None:
    """With who, why and until when; clearing closes the breaker."""
    provider = new_name("provider")
    await world.sent(usage(provider=provider))
    path = f"/v1/breakers/{provider}/gpt-4o"
    await world.read(path, consistency="strong")
    body = {"mode": "FORCED_OPEN", "actor": "ann", "reason": "maintenance", "expires_in_s": 3600}
    await world.put(f"{path}/override", body)
    one = await world.read(path, consistency="strong")
    assert (one["state"], one["admits"], one["cause"]) == ("FORCED_OPEN", False, "OVERRIDE_SET")
    assert (one["override"]["actor"], one["override"]["reason"]) == ("ann", "maintenance")
    assert one["override"]["expires_at"] > one["at"]
    assert await world.read(f"{path}/override") == one["override"]
    cleared = await world.http.delete(f"{path}/override", params={"actor": "ann", "reason": "done"})
    assert cleared.status_code == 202
    one = await world.read(path, cleared.json()["positions"])
    assert (one["state"], one["override"], one["cause"]) == ("CLOSED", None, "OVERRIDE_CLEARED")
    assert (await world.http.get(f"{path}/override")).status_code == 404


async def test_a_provider_can_be_forced_as_a_whole(world: World) -> None:
    """Deployments that are known, and ones that are first seen later."""
    provider = new_name("provider")
    await world.sent(usage(provider=provider))
    await world.read(f"/v1/breakers/{provider}/gpt-4o", consistency="strong")
    token = await world.put(
        f"/v1/breakers/{provider}/override", {"mode": "DISABLED", "actor": "ann", "reason": "trusted"}
    )
    known = await world.read(f"/v1/breakers/{provider}/gpt-4o", token)
    later = await world.sent(usage(provider=provider, model="later", outcome="TIMEOUT"))
    new = await world.read(f"/v1/breakers/{provider}/later", later)
    assert (known["state"], new["state"]) == ("DISABLED", "DISABLED")
    forced = await world.read(f"/v1/breakers/{provider}/override", token)
    assert (forced["mode"], forced["actor"], forced["expires_at"]) == ("DISABLED", "ann", None)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"mode": "NONE"}, "FORCED_OPEN"),
        ({"mode": "OPEN"}, "FORCED_OPEN"),
        ({"actor": ""}, "actor"),
        ({"reason": ""}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "over already"),
        ({"expires_at": "soon"}, "RFC 3339"),
        ({"expires_in_s": 60, "expires_at": "2999-01-01T00:00:00Z"}, "not both"),
        ({"expires_in_s": 0}, "expires_in_s"),
    ],
)
async def test_a_wrong_override_is_422_and_named(change: dict[str, Any], says: str, world: World) -> None:
    """Nothing is forced by a request that contradicts itself."""
    body = {"mode": "FORCED_OPEN", "actor": "ann", "reason": "maintenance"}
    response = await world.http.put("/v1/breakers/p/m/override", json=body | change)
    assert response.status_code == 422, response.text
    assert says in response.text


async def test_a_method_that_a_path_has_not_is_405_with_those_it_has(world: World) -> None:
    """All of them, also when several routes share the path."""
    budget = await world.http.post("/v1/budgets/acme/b")
    assert (budget.status_code, budget.headers["allow"]) == (405, "DELETE, GET, PUT")
    override = await world.http.post("/v1/breakers/p/m/override")
    assert (override.status_code, override.headers["allow"]) == (405, "DELETE, GET, PUT")
