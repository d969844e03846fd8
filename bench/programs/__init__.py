"""What the benchmarks start as processes of their own, so that the CPU time of each is known.

Each is run as `python -m bench.programs.<name>`, gets its settings as JSON, and prints its result as JSON in its last line.
"""
