"""docs/breakers.md shows the state machine as the code has it."""

from __future__ import annotations

from pathlib import Path

from events.breaker_transitioned import BreakerState, TransitionCause
from events.envelope import OutcomeKind
from processors.breaker.machine import TRANSITIONS, transition_diagram

PAGE = Path(__file__).parents[2] / "docs" / "breakers.md"


def test_the_diagram_in_the_docs_is_current() -> None:
    """Paste the output of `transition_diagram()` when this fails."""
    drawn = PAGE.read_text().split("<!-- transitions: generated -->\n")[1].split("<!-- end -->")[0]
    assert drawn == f"```mermaid\n{transition_diagram()}```\n"


def test_the_docs_name_every_state_cause_and_outcome() -> None:
    """Nothing is left for the reader to guess."""
    text = PAGE.read_text()
    causes = set(TransitionCause) - {TransitionCause.UNKNOWN}
    missing = [str(name) for name in (*BreakerState, *causes, *OutcomeKind) if name not in text]
    assert missing == []


def test_every_cause_leads_somewhere() -> None:
    """The table knows each cause, and an override from each state."""
    causes = set(TransitionCause) - {TransitionCause.UNKNOWN}
    assert {cause for _, cause in TRANSITIONS} == causes
    assert {state for state, cause in TRANSITIONS if cause is TransitionCause.OVERRIDE_SET} == set(
        BreakerState
    )
