"""The Redis functions of commit.lua: their source, and their names, which carry the hash of the source."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class FunctionLibrary:
    """One version of the functions. `source` is what FUNCTION LOAD takes."""

    version: str
    source: str

    def full_name(self, function: str) -> str:
        """Name on the server: names are global there, so two versions need two."""
        return f"interlock_{function}_{self.version}"


def shipped_library() -> FunctionLibrary:
    """The library that lies beside this file."""
    template = files("projections.live").joinpath("commit.lua").read_text(encoding="utf-8")
    version = sha256(template.encode()).hexdigest()[:12]
    return FunctionLibrary(version, template.replace("@VERSION@", version))
