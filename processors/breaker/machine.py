"""The breaker's state machine as one table: in which state what leads to which state. All else follows from it."""

from __future__ import annotations

from events.breaker_overridden import OverrideMode
from events.breaker_transitioned import BreakerState, TransitionCause

_S = BreakerState
_C = TransitionCause

MODE_STATES = {
    OverrideMode.FORCED_OPEN: _S.FORCED_OPEN,
    OverrideMode.DISABLED: _S.DISABLED,
    OverrideMode.METRICS_ONLY: _S.METRICS_ONLY,
}
"""The state that an override forces."""

OVERRIDDEN = frozenset(MODE_STATES.values())

TRANSITIONS: dict[tuple[BreakerState, TransitionCause], tuple[BreakerState, ...]] = {
    (_S.CLOSED, _C.CONSECUTIVE_FAILURES): (_S.OPEN,),
    (_S.CLOSED, _C.FAILURE_RATE): (_S.OPEN,),
    (_S.CLOSED, _C.SLOW_RATE): (_S.OPEN,),
    (_S.OPEN, _C.OPEN_ELAPSED): (_S.HALF_OPEN,),
    (_S.HALF_OPEN, _C.PROBES_SUCCEEDED): (_S.CLOSED,),
    (_S.HALF_OPEN, _C.PROBE_FAILED): (_S.OPEN,),
    (_S.HALF_OPEN, _C.HALF_OPEN_TIMEOUT): (_S.OPEN,),
    **{(state, _C.OVERRIDE_SET): tuple(MODE_STATES.values()) for state in _S},
    **{(state, _C.OVERRIDE_CLEARED): (_S.CLOSED,) for state in MODE_STATES.values()},
    **{(state, _C.OVERRIDE_EXPIRED): (_S.CLOSED,) for state in MODE_STATES.values()},
}
"""(state, cause) -> states that it may lead to; more than one only where an override says which."""


def target(state: BreakerState, cause: TransitionCause) -> BreakerState:
    """The state that a cause leads to. Overrides name theirs themselves, see MODE_STATES."""
    (to_state,) = TRANSITIONS[state, cause]
    return to_state


def transition_diagram() -> str:
    """The table as a Mermaid state diagram. The overrides are drawn once, not from each state."""
    lines = ["stateDiagram-v2", "    [*] --> CLOSED", "    state overridden {"]
    lines += [f"        {state}" for state in MODE_STATES.values()]
    lines += ["    }"]
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, cause), targets in TRANSITIONS.items():
        source = "overridden" if state in OVERRIDDEN else str(state)
        for to_state in ("overridden",) if len(targets) > 1 else map(str, targets):
            causes = edges.setdefault((source, to_state), [])
            if cause not in causes:
                causes.append(cause)
    lines += [
        f"    {source} --> {to_state}: {'<br/>'.join(causes)}" for (source, to_state), causes in edges.items()
    ]
    return "\n".join(lines) + "\n"
