"""Does a server answer? Small questions in the servers' own protocols, without their client libraries."""

from __future__ import annotations

import asyncio

from .ports import HOST

ANSWER_WITHIN_S = 2.0
# ApiVersions v0, correlation id 1, no client id: every broker answers it, and only when it is ready for requests.
_API_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff")


async def exchange(port: int, question: bytes, answer_bytes: int) -> bytes:
    """Send and read that many bytes; empty when nobody is there or the answer is cut short."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(question)
                return await reader.readexactly(answer_bytes)
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return b""


async def kafka_answers(port: int) -> bool:
    """The broker takes requests."""
    answer = await exchange(port, _API_VERSIONS, 8)
    return answer[4:] == b"\x00\x00\x00\x01"


async def redis_answers(port: int) -> bool:
    """The server has loaded its data."""
    return await exchange(port, b"PING\r\n", 5) == b"+PONG"


async def http_answers(port: int, path: str) -> bool:
    """A GET of that path is answered with 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    return await exchange(port, request.encode(), 12) == b"HTTP/1.1 200"
