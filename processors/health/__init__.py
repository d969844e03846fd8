"""Providers: health, checks, breakers, overrides and settings of one partition.

Reads: outcomes, health, overrides and providers. Writes: health, checks, windows, breakers, settings; derives
BreakerTransitioned, AlertRaised, and OutcomesObserved from checks of a deployment. May import: projections, events.
"""
