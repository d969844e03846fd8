"""Free TCP ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
LOWEST_PORT = 15_000
ATTEMPTS = 200
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nobody listens on now.

    It lies below the ports that the kernel gives to outgoing connections: a server that is restarted on its port finds
    it free, and a client that retries while the server is away never meets itself there.
    """
    for _ in range(ATTEMPTS):
        port = random.randrange(LOWEST_PORT, max(_first_ephemeral_port(), LOWEST_PORT + 1000))
        if _is_free(port):
            return port
    with socket.socket() as anywhere:
        anywhere.bind((HOST, 0))
        return int(anywhere.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _first_ephemeral_port() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
