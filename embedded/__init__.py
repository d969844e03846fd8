"""Real servers as child processes from wheels: the log, the live store, the history, the analytics.

Reads: a data folder. Writes: the same. Imports nothing of the service.

`stack.EmbeddedStack` starts several servers over one locked folder; each server (`broker`, `valkey`, `postgres`,
`chroma`, and `kafka` for tests) can be started by itself. Whatever is started dies with the process that started it,
even by SIGKILL (`leash`). All servers listen on 127.0.0.1 without a password: a machine's users are trusted here.
"""
