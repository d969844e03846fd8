"""Hypothesis profiles: `ci` runs the same bounded examples each time, `dev` looks for new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The clock of a shared machine says nothing about the code: no deadline, no health check on slowness.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile(
    "ci", parent=_PATIENT, max_examples=60, derandomize=True, database=None, print_blob=True
)
settings.register_profile("dev", parent=_PATIENT, max_examples=100)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
