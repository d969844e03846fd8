"""Files of policies: the shipped one, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from projections.retention.amounts import DAY_US
from projections.retention.policy import STATE_TOPICS, Action, Policies, Store
from projections.retention.policy_file import load_policies, parse_policies
from projections.yaml_file import YamlFileError


def one(text: str) -> Policies:
    """A file with one policy, its keys given."""
    keys = "".join(f"    {line}\n" for line in text.strip().splitlines())
    return parse_policies(f"version: 1\npolicies:\n  - name: it\n{keys}", "p.yaml")


def refusal(text: str) -> str:
    with pytest.raises(YamlFileError) as caught:
        one(text)
    return str(caught.value)


def test_the_shipped_policies_are_those_of_the_categories() -> None:
    """Raw usage 90 days, sums 1 year, audit logs 7 years, copies 30 days, temporary data 1 day."""
    days = {policy.name: round((policy.older_than or 0) / DAY_US) for policy in load_policies(None).policies}
    assert days == {
        "raw-usage": 90,
        "raw-signals": 90,
        "refused-records": 90,
        "aggregated-metrics": 365,
        "audit-logs": 2557,
        "backup-data": 30,
        "temporary-data": 1,
    }


def test_the_shipped_policies_keep_the_sums_of_raw_usage() -> None:
    """Raw usage is aggregated before it goes, and neither log nor archive is touched."""
    policies = load_policies(None)
    assert policies.policies[0].action is Action.AGGREGATE_THEN_DELETE
    assert not {Store.LOG, Store.ARCHIVE} & {policy.store for policy in policies.policies}


def test_what_operators_set_is_never_chosen() -> None:
    """A pattern that means all topics leaves out those whose events are in force however old."""
    [policy] = one("store: history\naction: delete\nolder_than: 1d").policies
    assert not STATE_TOPICS & set(policy.chosen_topics)
    assert "kept for ever" in refusal("store: history\naction: delete\nolder_than: 1d\ntopics: [budgets]")


@pytest.mark.parametrize(
    "text, said",
    [
        ("store: histroy\naction: delete\nolder_than: 1d", "p.yaml:4: policies.0.store: Input should be"),
        ("store: log\naction: export\nolder_than: 1d", "action export is not for the store log, which knows"),
        ("store: history\naction: delete", "say exactly one of older_than"),
        ("store: history\naction: delete\nolder_than: 1d\nmore_than: 5", "say exactly one of older_than"),
        (
            "store: history\naction: delete\nolder_than: 90",
            "p.yaml:6: policies.0.older_than: 90 is not an age",
        ),
        (
            "store: history\naction: delete\nlarger_than: 5G",
            "'5G' is not a size: write a whole number above 0",
        ),
        ("store: log\naction: delete\nlarger_than: 5GB", "larger_than is not for the store log"),
        ("store: rollups\naction: delete\nolder_than: 1d\ntopics: [usage]", "leave `topics` out"),
        (
            "store: archive\naction: delete\nolder_than: 1d\ntenants: [a]",
            "are for the history, not for archive",
        ),
        (
            "store: history\naction: delete\nlarger_than: 1GB\ntenants: [a]",
            "larger_than goes by whole months",
        ),
        ("store: history\naction: delete\nmore_than: 1\ntenants: [a]", "add `precision: row`"),
        (
            "store: history\naction: aggregate_then_delete\nolder_than: 1d",
            "only usage has them: topics: [usage]",
        ),
        (
            "store: history\naction: delete\nolder_than: 1d\ncolour: red",
            "p.yaml:7: policies.0.colour: no such key",
        ),
        (
            "store: history\naction: delete\ntopics: [usage]\nwhere: a = 1",
            "policies.0: where: usage has no column 'a'",
        ),
        ("store: history\naction: delete\nolder_than: 1d\ntenants: ['[ab]']", "a pattern knows * and ? only"),
        ("store: history\naction: delete\nolder_than: 1d\ntopics: [usages]", "no topic is named 'usages'"),
        ("store: history\nolder_than: 1d", "p.yaml:3: policies.0.action: is missing, add it"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_field(text: str, said: str) -> None:
    """File, line, field, and what to write instead."""
    assert said in refusal(text)


@pytest.mark.parametrize("text", ["", "[1]", "version: 2", "policies: {", "version: 1\npolicies: 3"])
def test_a_file_that_is_none_is_refused(text: str) -> None:
    """Empty, a list, another version, broken YAML, or no list of policies: named with the file."""
    with pytest.raises(YamlFileError, match=r"p\.yaml"):
        parse_policies(text, "p.yaml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the setting that names it."""
    with pytest.raises(YamlFileError, match="INTERLOCK_RETENTION__POLICIES"):
        load_policies(tmp_path / "none.yaml")


def test_names_of_policies_differ() -> None:
    """The audit says which policy it was."""
    twice = "  - {name: it, store: log, action: delete, older_than: 1d}\n" * 2
    with pytest.raises(YamlFileError, match="two policies are named it"):
        parse_policies(f"version: 1\npolicies:\n{twice}", "p.yaml")
