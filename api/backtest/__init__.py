"""A backtest at the edge: the policy file that it tries, and its outcome as JSON, as a page with plots, for people.

Reads: a YAML file. Writes: one HTML file that needs nothing else. May import: processors, projections, events.
"""
