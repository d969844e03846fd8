"""The policy file: what it says, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.backtest.policy_file import load_policy, parse_policy
from events.budget_changed import BudgetChange, BudgetPeriod
from events.provider_changed import BreakerPolicy, WindowKind
from projections.live.provider import PolicyInForce
from projections.yaml_file import YamlFileError
from tests.unit.repository.checkout import ROOT

FULL = """
version: 1
providers:
  openai:
    breaker_policy: {consecutive_failures: 3, window: COUNT}
    deployment_policies:
      openai/gpt-4o@eu: {failure_rate: 0.25}
  mistral: {}
budgets:
  acme:
    monthly: {limit_usd: "250.00", period: DAY, soft_limits_percent: [90]}
    trial: null
prices:
  others: list
  models:
    openai/gpt-4o: {input_usd_per_mtok: "2.50", output_usd_per_mtok: "10", request_usd: "0.01"}
"""
AS_RECORDED = PolicyInForce(BreakerPolicy(consecutive_failures=9), 4)


def test_what_is_named_holds_and_all_else_stays_as_recorded() -> None:
    """A provider is set whole, as by PUT: without a policy it has the defaults."""
    tried = parse_policy(FULL, "new.yaml")

    def policy(provider: str, deployment: str) -> BreakerPolicy:
        return tried.breaker_policy(provider, deployment, AS_RECORDED).policy

    counted = BreakerPolicy(consecutive_failures=3, window=WindowKind.COUNT)
    assert policy("openai", "openai/gpt-4o") == counted
    assert policy("openai", "openai/gpt-4o@eu") == BreakerPolicy(failure_rate=0.25)
    assert policy("mistral", "mistral/large") == BreakerPolicy()
    assert policy("google", "google/gemini") == AS_RECORDED.policy


def test_budgets_are_set_or_taken_away() -> None:
    """In the words of PUT, money as texts."""
    monthly, trial = parse_policy(FULL, "new.yaml").budgets
    assert (monthly.tenant, monthly.budget_id, monthly.period) == ("acme", "monthly", BudgetPeriod.DAY)
    assert (monthly.limit_nano_usd, monthly.soft_limits_percent) == (250 * 10**9, (90,))
    assert (trial.budget_id, trial.change) == ("trial", BudgetChange.REMOVED)


@pytest.mark.parametrize(
    "text, said",
    [
        ("version: [", "new.yaml is no YAML"),
        ("a", "new.yaml: write `version: 1`"),
        ("providers: {}", "new.yaml:1: version: is missing, add it"),
        ("version: 1\nbreakers: {}", "new.yaml:2: breakers: no such key"),
        (
            "version: 1\nproviders:\n  openai:\n    models: [gpt-4o]",
            "new.yaml:4: providers.openai.models: no such key",
        ),
        (
            "version: 1\nproviders:\n  openai:\n    breaker_policy:\n      open_for: 3",
            "new.yaml:4: providers.openai.breaker_policy: has no open_for; a policy has",
        ),
        (
            "version: 1\nproviders:\n  openai:\n    breaker_policy: {failure_rate: 2}",
            "new.yaml:4: providers.openai.breaker_policy: failure_rate: Input should be less than or equal to 1",
        ),
        (
            "version: 1\nproviders:\n  openai:\n    deployment_policies:\n      gpt-4o: {}",
            "new.yaml:5: providers.openai.deployment_policies.gpt-4o: is no deployment of openai",
        ),
        (
            "version: 1\nbudgets:\n  acme:\n    monthly: {limit_usd: 250.00}",
            "new.yaml:4: budgets.acme.monthly.limit_usd: has to be a text: write it in quotes",
        ),
        (
            'version: 1\nbudgets:\n  acme:\n    a: {limit_usd: "1", level: TEAM}',
            "new.yaml:4: budgets.acme.a: subject is given at every level but",
        ),
        (
            'version: 1\nprices:\n  models:\n    gpt-4o: {input_usd_per_mtok: "1", output_usd_per_mtok: "1"}',
            "new.yaml:4: prices.models.gpt-4o: write provider/model",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(text: str, said: str) -> None:
    """File, line, place and remedy, in one line."""
    with pytest.raises(YamlFileError) as caught:
        parse_policy(text, "new.yaml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Not there, or no text."""
    with pytest.raises(YamlFileError, match=r"none.yaml cannot be read"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(YamlFileError, match=r"bad.yaml cannot be read"):
        load_policy(tmp_path / "bad.yaml")


def test_the_documented_example_is_a_policy() -> None:
    """The example of docs/backtest.md can be copied as it stands."""
    text = (ROOT / "docs" / "backtest.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    tried = parse_policy(example, "docs/backtest.md")
    assert tried.providers
    assert tried.budgets
    assert tried.prices
