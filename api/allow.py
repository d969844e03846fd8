"""Which methods a path has: what a 405 tells in `Allow`. The framework names those of one route only."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute


def allowed_methods(routers: Iterable[APIRouter], path: str) -> str:
    """The methods of all routes that the path fits, as the header lists them."""
    methods = {
        method
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return ", ".join(sorted(methods))
