"""The API as the read commands use it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from api.addresses import data_folder, read_addresses
from api.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 15.0

ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api",
        envvar="INTERLOCK_API_URL",
        help=f"URL of the API; default: that of `interlock up`, else {DEFAULT_URL}.",
    ),
]

AsOf = Annotated[str | None, typer.Option(help="RFC 3339: how it was at this instant, from the history.")]

Generation = Annotated[
    int | None,
    typer.Option(min=1, help="From this generation of the live state; see `interlock generations list`."),
]

_CODES = {404: Exit.NOT_FOUND, 429: Exit.UNAVAILABLE, 503: Exit.UNAVAILABLE, 504: Exit.UNAVAILABLE}


class ApiClient:
    """Asks the API and turns what is no success into a CommandError."""

    def __init__(self, url: str | None) -> None:
        self.url = (url or read_addresses(data_folder(os.environ)).api_url or DEFAULT_URL).rstrip("/")

    def get(self, path: str, **query: str | int | Sequence[str] | None) -> Any:
        """The JSON of a resource; a parameter with several values is given several times."""
        return self._ask("GET", path, query).json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON of an answer to a question that needs a body."""
        return self._ask("POST", path, {}, body).json()

    def put(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        """The answer to a PUT."""
        return self._ask("PUT", path, {}, body, headers)

    def delete(self, path: str, **query: str | None) -> httpx.Response:
        """The answer to a DELETE."""
        return self._ask("DELETE", path, query)

    def text(self, path: str) -> str:
        """The text of a resource."""
        return self._ask("GET", path, {}).text

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | Sequence[str] | None],
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        import httpx

        params = {name: value for name, value in query.items() if value is not None}
        try:
            response = httpx.request(
                method, self.url + path, params=params, json=body, headers=headers, timeout=TIMEOUT_S
            )
        except httpx.InvalidURL as error:
            raise CommandError(f"{self.url} is no URL: {error}", Exit.USAGE) from None
        except httpx.ReadTimeout:
            raise CommandError(
                f"the API at {self.url} took the question and has not answered within {TIMEOUT_S:g} s: ask "
                f"{self.url}/health/readiness what it waits for",
                Exit.UNAVAILABLE,
            ) from None
        except httpx.HTTPError as error:
            raise CommandError(
                f"no API answers at {self.url} ({error!r}): start one with `interlock up` or `interlock serve`, or give --api",
                Exit.UNAVAILABLE,
            ) from None
        if response.is_success:
            return response
        raise CommandError(_detail(response), _CODES.get(response.status_code, Exit.REFUSED))


def path_of(*parts: str) -> str:
    """A path of the API from its parts, each encoded."""
    return "/v1/" + "/".join(quote(part, safe="@:") for part in parts)


def deployment_path(deployment: str, *rest: str) -> str:
    """The path of a breaker: a deployment keeps its slashes."""
    return "/".join(("/v1/breakers", quote(deployment, safe="/@:"), *rest))


def _detail(response: httpx.Response) -> str:
    try:
        problem = response.json()
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the API answered {response.status_code}: {response.text[:200]}"
