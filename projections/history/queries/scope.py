"""Which deployments a question is about."""

from __future__ import annotations

from dataclasses import dataclass

from projections.history.queries.question import Question


@dataclass(frozen=True, slots=True)
class Scope:
    """Which breakers are meant. Without both: all."""

    providers: tuple[str, ...] | None = None
    rest: str | None = None
    """What follows the provider and its slash in a deployment's name. Where the region begins the rows know."""

    @classmethod
    def of_deployment(cls, deployment: str) -> Scope:
        """One breaker. A name without a slash has an empty rest, which is no model."""
        provider, _, rest = deployment.partition("/")
        return cls((provider,), rest)

    def ask(self, question: Question) -> None:
        """Only rows of these deployments."""
        if self.providers is not None:
            question.conditions.append(f"provider = any({question.bind(list(self.providers))})")
        if self.rest is not None:
            question.conditions.append(
                f"model || case when region <> '' then '@' || region else '' end = {question.bind(self.rest)}"
            )


ALL = Scope()
