"""Benchmarks: each measure beside its raw limit and its peer, in one run.

Run from a checkout by `make bench`; not part of the installed service. May import everything.
"""
