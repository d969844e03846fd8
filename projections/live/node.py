"""Spend nodes: what a call is charged to, and what a budget limits.

A node is a level and its subject within a tenant, alone or narrowed to a provider or to a provider's model:
`tenant`, `org=acme`, `team=search`, `user=ann`, `key=k1`, each also with `;provider=openai` and with
`;provider=openai;model=gpt-4o`. The separators `;`, `=`, `|` and `%` are percent-encoded within names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from events.budget_changed import BudgetLevel

_ESCAPES = str.maketrans({"%": "%25", ";": "%3B", "=": "%3D", "|": "%7C"})
_LEVEL_OF_WORD = {
    "tenant": BudgetLevel.TENANT,
    "org": BudgetLevel.ORG,
    "team": BudgetLevel.TEAM,
    "user": BudgetLevel.USER,
    "key": BudgetLevel.KEY,
}
_WORD_OF_LEVEL = {level: word for word, level in _LEVEL_OF_WORD.items()}
_LEVEL_NAMES_KEPT = 16_384
_IDENTITIES_KEPT = 8_192


class Identity(NamedTuple):
    """Who called what: all that decides which nodes a call is charged to. A plain tuple of it serves as well."""

    tenant: str
    org: str | None
    team: str | None
    user: str | None
    api_key: str | None
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node taken apart. `subject` is None at level TENANT only; a model never comes without its provider."""

    level: BudgetLevel
    subject: str | None = None
    provider: str | None = None
    model: str | None = None

    def __str__(self) -> str:
        return _name(self.level, self.subject, self.provider, self.model)

    @classmethod
    def parse(cls, name: str) -> Node:
        """The node of that name. Raises ValueError when it is none."""
        first, *narrowed = name.split(";")
        word, _, subject = first.partition("=")
        parts = dict(part.partition("=")[::2] for part in narrowed)
        model = parts.get("model")
        try:
            node = cls(
                _LEVEL_OF_WORD[word],
                unescape(subject) if subject else None,
                unescape(parts["provider"]) if narrowed else None,
                unescape(model) if model else None,
            )
        except KeyError as error:
            raise ValueError(f"no spend node is named {name!r}: {error} is missing or unknown") from None
        if str(node) != name or (node.level is BudgetLevel.TENANT) != (node.subject is None):
            raise ValueError(f"no spend node is named {name!r}; a close one is {str(node)!r}")
        return node

    def covers(self, other: Node) -> bool:
        """True when all that is charged to `other` is charged to this node too. The tenant covers every subject."""
        return (
            (self.level is BudgetLevel.TENANT or (self.level, self.subject) == (other.level, other.subject))
            and self.provider in (None, other.provider)
            and self.model in (None, other.model)
        )


def escape(name: str) -> str:
    """A name as it stands within node names and ids."""
    return name.translate(_ESCAPES)


def unescape(text: str) -> str:
    """The inverse of escape."""
    return text.replace("%7C", "|").replace("%3D", "=").replace("%3B", ";").replace("%25", "%")


@lru_cache(maxsize=_IDENTITIES_KEPT)
def nodes_of(identity: Identity) -> tuple[str, ...]:
    """Names of all nodes that a call is charged to, the widest level first. An empty org, team, ... is none."""
    _, org, team, user, api_key, provider, model = identity
    nodes = _narrowings(BudgetLevel.TENANT, None, provider, model)
    for level, subject in (
        (BudgetLevel.ORG, org),
        (BudgetLevel.TEAM, team),
        (BudgetLevel.USER, user),
        (BudgetLevel.KEY, api_key),
    ):
        if subject:
            nodes += _narrowings(level, subject, provider, model)
    return nodes


@lru_cache(maxsize=_LEVEL_NAMES_KEPT)
def _narrowings(level: BudgetLevel, subject: str | None, provider: str, model: str) -> tuple[str, ...]:
    return (
        _name(level, subject, None, None),
        _name(level, subject, provider, None),
        _name(level, subject, provider, model),
    )


def _name(level: BudgetLevel, subject: str | None, provider: str | None, model: str | None) -> str:
    word = _WORD_OF_LEVEL[level]
    name = word if subject is None else f"{word}={escape(subject)}"
    if provider is not None:
        name += f";provider={escape(provider)}"
    if model is not None:
        name += f";model={escape(model)}"
    return name
