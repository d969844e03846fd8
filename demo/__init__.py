"""Gateways, faults and a proof: real traffic through the whole house, checked against ledgers and a fold.

Reads: the API as any user does, the log. Writes: events, a report. May import: everything below it.
"""
