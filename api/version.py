"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("interlock-state-plane")
except PackageNotFoundError:
    VERSION = "0+unknown"
