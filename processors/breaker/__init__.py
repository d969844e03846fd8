"""The breaker decider: outcomes, overrides and passing time become BreakerTransitioned.

Reads: OutcomesObserved, BreakerOverridden, the clock it is given. Writes: nothing; what it decides is returned.
May import: projections, events.
"""
