"""What docs/retention.md says of policies is so."""

from __future__ import annotations

import re

import pytest

from projections.retention.policy import ACTIONS, Action, Hold, Policies, Policy, Store
from projections.retention.policy_file import load_policies, parse_policies
from tests.unit.repository.checkout import ROOT

PAGE = (ROOT / "docs" / "retention.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_file_of_policies(text: str) -> None:
    """It can be copied as it stands."""
    assert parse_policies(text, "docs/retention.md").policies


def test_every_key_is_described() -> None:
    """The table has the keys that the models have, and no others."""
    rows = re.findall(r"^\| (`[^|]+) \| (?:file|hold|policy) \|", PAGE, re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    held = {f"holds.{name}" for name in Hold.model_fields}
    assert described == set(Policies.model_fields) | held | set(Policy.model_fields)


def test_every_store_has_its_actions() -> None:
    """As the table of stores says."""
    table = PAGE[PAGE.index("| store | actions |") : PAGE.index("| action | of the history |")]
    for store in Store:
        [listed] = re.findall(rf"^\| `{store}` \| ([^|]+) \|", table, re.MULTILINE)
        actions = set(Action) if listed == "all" else set(re.findall(r"`(\w+)`", listed))
        assert actions == set(ACTIONS[store])


def test_the_shipped_policies_are_listed() -> None:
    """All of them, by name, store and action."""
    for policy in load_policies(None).policies:
        assert re.search(
            rf"^\| `{policy.name}` \| {policy.store}[^|]* \| [^|]+ \| `{policy.action}` \|",
            PAGE,
            re.MULTILINE,
        )
