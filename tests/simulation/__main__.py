"""Many seeds: `python -m tests.simulation --seeds 1000 [--from 0]`. Exit status 1 when any property broke."""

from __future__ import annotations

import argparse
import logging
import sys

import structlog

from tests.simulation.scenario import simulate


def main() -> int:
    """Run them one after the other and print those that broke, with the command that runs one alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    broken = 0
    for seed in range(options.first, options.first + options.seeds):
        report = simulate(seed)
        if report.wrong:
            broken += 1
            sys.stdout.write(f"{report}\n")
    sys.stdout.write(f"{broken} of {options.seeds} seeds broke\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
