"""`python -m api.cli`: the same as `interlock`."""

from __future__ import annotations

from api.cli import main

main()
