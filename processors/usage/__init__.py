"""Usage: what was spent, and how each deployment's calls ended.

Reads: usage, adjustments, budgets and routing of one partition. Writes: spend, budgets, alerts raised, routing counters; derives
OutcomesObserved and AlertRaised. May import: projections, events.
"""
