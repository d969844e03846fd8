"""The policy that a backtest tries, read from its YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MaxLen
from pydantic import Field

from api.resources.budget import BudgetBody
from api.resources.provider import Policy
from api.resources.values import Body, Usd
from events.budget_changed import BudgetChange, BudgetChanged
from events.catalogue import TOPICS
from events.codec import from_record
from events.envelope import Name
from events.errors import InvalidEventError
from events.money import parse_usd
from processors.backtest.policy import TriedPolicy
from processors.backtest.prices import Prices, rates
from projections.live.provider import ProviderSettings
from projections.yaml_file import Mistake, YamlFile

GUIDE = "docs/backtest.md"
NO_ID = "00000000-0000-0000-0000-000000000000"


class ProviderPolicies(Body):
    """The breaker policies of a provider, in the words of `PUT /v1/providers/{provider}`: whole, as they shall be."""

    breaker_policy: Policy | None = Field(None, description="Policy of its breakers; null: the defaults.")
    deployment_policies: Annotated[dict[Name, Policy], MaxLen(1000)] = Field(
        {}, description="Policies of single deployments, by name."
    )


class ModelPrices(Body):
    """What a model costs, US dollars per million tokens. Cached tokens cost as others unless they are given."""

    input_usd_per_mtok: Usd
    output_usd_per_mtok: Usd
    cached_input_usd_per_mtok: Usd | None = None
    request_usd: Usd = "0"


class PriceList(Body):
    """Prices by `provider/model`, and what all others cost."""

    models: dict[Name, ModelPrices] = Field({}, description="By provider/model.")
    others: Literal["recorded", "list"] = Field(
        "recorded", description="What they did, or what the installed price list says."
    )


class PolicyFile(Body):
    """A policy file."""

    version: Literal[1]
    providers: dict[Name, ProviderPolicies] = Field({}, description="By name; others stay as recorded.")
    budgets: dict[Name, dict[Name, BudgetBody | None]] = Field(
        {}, description="By tenant and id; null: there is none. Others stay as recorded."
    )
    prices: PriceList | None = Field(None, description="Null: calls cost what they did.")


def load_policy(path: Path) -> TriedPolicy:
    """The policy of a file; YamlFileError names all that is wrong with it."""
    return _policy_of(YamlFile.read(path, GUIDE, named_by="--policy"))


def parse_policy(text: str, file: str) -> TriedPolicy:
    """As `load_policy`, of a text; `file` is what the messages call it."""
    return _policy_of(YamlFile.parse(text, file, GUIDE))


def _policy_of(file: YamlFile) -> TriedPolicy:
    found = file.holds(PolicyFile)
    mistakes = list(_mistakes(found))
    if mistakes:
        raise file.refused(mistakes)
    return _tried(found)


def _mistakes(found: PolicyFile) -> Iterator[Mistake]:
    """What single values do not show, as (place, what)."""
    for provider, policies in found.providers.items():
        for name in policies.deployment_policies:
            if not name.startswith(f"{provider}/"):
                place = ("providers", provider, "deployment_policies", name)
                yield (
                    place,
                    f"is no deployment of {provider}: write {provider}/model or {provider}/model@region",
                )
    for name in found.prices.models if found.prices else ():
        if not all(name.partition("/")):
            yield ("prices", "models", name), "write provider/model"
    for tenant, budgets in found.budgets.items():
        for budget_id, body in budgets.items():
            try:
                _budget(tenant, budget_id, body)
            except InvalidEventError as error:
                yield ("budgets", tenant, budget_id), error.detail.rpartition("Value error, ")[2]


def _tried(found: PolicyFile) -> TriedPolicy:
    return TriedPolicy(
        {
            provider: ProviderSettings(
                provider=provider,
                version=1,
                breaker_policy=policies.breaker_policy,
                deployment_policies=policies.deployment_policies,
            )
            for provider, policies in found.providers.items()
        },
        tuple(
            _budget(tenant, budget_id, body)
            for tenant, budgets in found.budgets.items()
            for budget_id, body in budgets.items()
        ),
        _prices(found.prices) if found.prices else None,
    )


def _budget(tenant: str, budget_id: str, body: BudgetBody | None) -> BudgetChanged:
    """The event that would set it, or take it away."""
    head = {
        "event_id": NO_ID,
        "occurred_at": 0,
        "source": "backtest",
        "tenant": tenant,
        "budget_id": budget_id,
        "version": 1,
    }
    if body is None:
        values: dict[str, Any] = {"change": BudgetChange.REMOVED, "limit_nano_usd": 0, "actor": "backtest"}
    else:
        values = body.model_dump(exclude={"limit_usd", "rollover_cap_usd"}) | {
            "limit_nano_usd": parse_usd(body.limit_usd),
            "rollover_cap_nano_usd": parse_usd(body.rollover_cap_usd),
        }
    event = from_record(TOPICS["budgets"], head | values)
    assert isinstance(event, BudgetChanged)
    return event


def _prices(given: PriceList) -> Prices:
    models = {}
    for name, prices in given.models.items():
        provider, _, model = name.partition("/")
        cached = prices.cached_input_usd_per_mtok
        models[provider, model] = rates(
            input_nano_usd=parse_usd(prices.input_usd_per_mtok),
            cached_input_nano_usd=parse_usd(prices.input_usd_per_mtok if cached is None else cached),
            output_nano_usd=parse_usd(prices.output_usd_per_mtok),
            request_nano_usd=parse_usd(prices.request_usd),
        )
    return Prices(models, from_list=given.others == "list")
