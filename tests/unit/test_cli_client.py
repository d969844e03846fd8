"""What a command says of an API that does not answer."""

from __future__ import annotations

import socket

import pytest

from api.cli import client
from api.cli.client import ApiClient
from api.cli.exits import CommandError, Exit


def test_an_api_that_is_slow_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the question and waits for something: to start another one would not help."""
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CommandError, match="has not answered within 0") as slow:
            ApiClient(url).get("/v1/status")
    with pytest.raises(CommandError, match="no API answers") as absent:
        ApiClient(url).get("/v1/status")
    assert (slow.value.code, absent.value.code) == (Exit.UNAVAILABLE, Exit.UNAVAILABLE)
