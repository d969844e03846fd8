"""Gateways, faults and a proof: real traffic through the whole house, checked against ledgers and a fold by other code.

Reads: the log and the live state, as gateways do; a trace and incidents, when given. Writes: events, ledgers, a report.
May import: everything below it. `naive.py` and `naive_log.py` import nothing of the product.
"""
