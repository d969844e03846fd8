"""Redis in memory, enough for the live store; it runs the functions of commit.lua themselves, in a Lua of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lupa import lua51

from projections.errors import LiveUnavailableError
from projections.live.connection import Argument, Command, LiveConnection
from projections.live.functions import shipped_library
from tests.simulation.process import Process
from tests.simulation.virtual_time import now_us

Value = bytes | dict[bytes, bytes] | list[bytes] | set[bytes]


class MemoryRedis:
    """One server. Its functions are atomic, as everything on a Redis is."""

    def __init__(self) -> None:
        self.keys: dict[bytes, Value] = {}
        self._lua = lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._functions: dict[bytes, Any] = {}
        library = shipped_library()
        self._full_name = library.full_name
        redis = self._lua.table()
        redis[b"call"] = self._call_from_lua
        redis[b"register_function"] = self._register
        self._lua.globals()[b"redis"] = redis
        self._lua.execute(library.source.partition("\n")[2].encode())

    def _register(self, name: Any, callback: Any = None) -> None:
        """By name and function, or by a table that has flags too: nothing is ever full here."""
        if callback is None:
            name, callback = name[b"function_name"], name[b"callback"]
        self._functions[name] = callback

    def flush(self) -> None:
        """FLUSHALL."""
        self.keys.clear()

    def snapshot(self) -> dict[bytes, Value]:
        """What is held now."""
        return {key: value if isinstance(value, bytes) else value.copy() for key, value in self.keys.items()}

    def roll_back(self, snapshot: dict[bytes, Value]) -> None:
        """A fail-over to a replica that was behind."""
        self.keys = {
            key: value if isinstance(value, bytes) else value.copy() for key, value in snapshot.items()
        }

    def function(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """FCALL."""
        function = self._functions[self._full_name(name).encode()]
        table = self._lua.table_from
        reply = function(table([key.encode() for key in keys]), table([_bytes(each) for each in arguments]))
        return self._from_lua(reply)

    def command(self, command: Command) -> Any:
        """One command by its name."""
        name, *arguments = command
        handler: Callable[..., Any] = getattr(self, f"_{str(name).lower()}")
        return handler(*map(_bytes, arguments))

    def _call_from_lua(self, name: bytes, *arguments: Any) -> Any:
        reply = getattr(self, f"_{name.decode().lower()}")(*map(_bytes, arguments))
        return self._to_lua(reply)

    def _to_lua(self, reply: Any) -> Any:
        if isinstance(reply, dict):
            reply = [part for pair in reply.items() for part in pair]
        if isinstance(reply, list):
            return self._lua.table_from([False if item is None else item for item in reply])
        return False if reply is None else reply

    def _from_lua(self, reply: Any) -> Any:
        if lua51.lua_type(reply) == "table":
            return [self._from_lua(reply[index]) for index in range(1, len(reply) + 1)]
        return None if reply is False else reply

    def _time(self) -> list[bytes]:
        seconds, microseconds = divmod(now_us(), 1_000_000)
        return [b"%d" % seconds, b"%d" % microseconds]

    def _publish(self, channel: bytes, message: bytes) -> int:
        return 0

    def _get(self, key: bytes) -> Any:
        return self.keys.get(key)

    def _mget(self, *keys: bytes) -> list[Any]:
        return [self.keys.get(key) for key in keys]

    def _mset(self, *pairs: bytes) -> bytes:
        self.keys.update(zip(pairs[::2], pairs[1::2], strict=True))
        return b"OK"

    def _del(self, *keys: bytes) -> int:
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def _hash(self, key: bytes) -> dict[bytes, bytes]:
        value = self.keys.setdefault(key, {})
        assert isinstance(value, dict)
        return value

    def _hget(self, key: bytes, name: bytes) -> bytes | None:
        return self._hgetall(key).get(name)

    def _hmget(self, key: bytes, *names: bytes) -> list[bytes | None]:
        held = self._hgetall(key)
        return [held.get(name) for name in names]

    def _hgetall(self, key: bytes) -> dict[bytes, bytes]:
        value = self.keys.get(key, {})
        assert isinstance(value, dict)
        return value

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        self._hash(key).update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(pairs) // 2

    def _hsetnx(self, key: bytes, name: bytes, value: bytes) -> int:
        return int(self._hash(key).setdefault(name, value) is value)

    def _list(self, key: bytes) -> list[bytes]:
        value = self.keys.get(key, [])
        assert isinstance(value, list)
        return value

    def _rpush(self, key: bytes, *items: bytes) -> int:
        self.keys[key] = held = [*self._list(key), *items]
        return len(held)

    def _lrange(self, key: bytes, start: bytes, stop: bytes) -> list[bytes]:
        first, last = int(start), int(stop)
        return self._list(key)[first : None if last == -1 else last + 1]

    def _ltrim(self, key: bytes, start: bytes, stop: bytes) -> bytes:
        kept = self._lrange(key, start, stop)
        self.keys.pop(key, None)
        if kept:
            self.keys[key] = kept
        return b"OK"

    def _set_of(self, key: bytes) -> set[bytes]:
        value = self.keys.get(key, set())
        assert isinstance(value, set)
        return value

    def _sadd(self, key: bytes, *members: bytes) -> int:
        self.keys[key] = self._set_of(key) | set(members)
        return len(members)

    def _srem(self, key: bytes, *members: bytes) -> int:
        kept = self._set_of(key) - set(members)
        self.keys.pop(key, None)
        if kept:
            self.keys[key] = kept
        return len(members)

    def _smembers(self, key: bytes) -> list[bytes]:
        return sorted(self._set_of(key))


class MemoryConnection(LiveConnection):
    """The store's connection, for one process: every call may be late, lost or unanswered."""

    def __init__(self, redis: MemoryRedis, process: Process) -> None:
        self._redis = redis
        self._process = process

    async def close(self) -> None:
        """Nothing to close."""

    async def command(self, *command: Argument) -> Any:
        """As LiveConnection.command."""
        return await self._process.call(
            f"redis {command[0]!s}", lambda: self._redis.command(command), LiveUnavailableError
        )

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """As LiveConnection.batch."""
        if not commands:
            return []
        return await self._process.call(
            f"redis {commands[0][0]!s}",
            lambda: [self._redis.command(command) for command in commands],
            LiveUnavailableError,
        )

    async def function(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """As LiveConnection.function."""
        return await self._process.call(
            f"redis {name}", lambda: self._redis.function(name, keys, arguments), LiveUnavailableError
        )

    async def keys_with_prefix(self, prefix: str) -> list[str]:
        """As LiveConnection.keys_with_prefix."""
        return await self._process.call(
            "redis SCAN",
            lambda: [key.decode() for key in self._redis.keys if key.startswith(prefix.encode())],
            LiveUnavailableError,
        )


def _bytes(value: Argument) -> bytes:
    match value:
        case bytes():
            return value
        case str():
            return value.encode()
        case float():
            return b"%d" % value if value.is_integer() else repr(value).encode()
        case _:
            return b"%d" % value
