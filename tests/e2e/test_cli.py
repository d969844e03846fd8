"""The commands on a running stack: for people and for programs, with exit codes that say what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from api.rfc3339 import format_time_us
from events.partitioner import partition_of
from tests.cloud_events import health_check, usage
from tests.e2e.console import Console, published, running
from tests.integration.live_server import eventually
from tests.integration.log import CODEC
from tests.integration.log import usage as usage_event
from tests.raw_batches import Raw, batch_of, produce


@pytest.fixture(scope="module")
async def console(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    """A user beside whom `interlock up` runs."""
    user = Console(tmp_path_factory.mktemp("cli"), {"INTERLOCK_LOG__SESSION_TIMEOUT_S": "2"})
    async with running(user, "--also", "none"):
        yield user


def as_lines(*events: object) -> bytes:
    return b"\n".join(orjson.dumps(event) for event in events)


async def test_topics_are_listed_described_and_created_once(console: Console) -> None:
    """`up` made them; to create them again changes nothing."""
    again = (await console.succeeds("topics", "create", "--json")).json
    assert {topic["created"] for topic in again} == {False}
    usage_topic = (await console.succeeds("topics", "describe", "usage", "--json")).json
    assert (usage_topic["event"], usage_topic["key"], len(usage_topic["ranges"])) == (
        "UsageRecorded",
        "tenant",
        4,
    )
    table = await console.succeeds("topics", "list")
    assert "dead-letters" in table.out
    unknown = await console.run("topics", "describe", "nonsense")
    assert (unknown.code, unknown.out) == (2, "")
    assert "no topic 'nonsense'" in unknown.err


async def test_a_file_is_published_and_read_back(console: Console, tmp_path: Path) -> None:
    """In batches; `tail` gives the events as they are on the log, one JSON object a line."""
    events = [usage("tail-tenant", cost_usd="0.5") for _ in range(7)]
    file = tmp_path / "usage.jsonl"
    file.write_bytes(as_lines(*events) + b"\n\n")
    appended = (await console.succeeds("events", "publish", str(file), "--batch", "3", "--json")).json
    assert appended["appended"] == 7
    arguments = ("--from", "start", "--until", "end", "--key", "tail-tenant", "--json")
    read = await console.succeeds("events", "tail", "usage", *arguments)
    seen = [orjson.loads(line) for line in read.out.splitlines()]
    assert {one["event"]["event_id"] for one in seen} == {event["id"] for event in events}
    assert {one["event"]["cost_nano_usd"] for one in seen} == {500_000_000}
    people = await console.succeeds("events", "tail", "usage", "--from", "start", "--count", "1")
    assert len(people.out.splitlines()) == 1


async def test_tail_follows_what_comes(console: Console) -> None:
    """Several topics at once, from now on, until it has what it was asked for."""
    tail = await console.start("events", "tail", "usage", "health", "--count", "2", "--json")
    assert tail.stdout is not None
    lines: list[bytes] = []

    async def both_seen() -> bool:
        # What was published before the tail had found the end is not told; so until it tells, more is published.
        await console.succeeds("events", "publish", "-", stdin=as_lines(usage(), health_check()))
        return tail.returncode is not None or await _ended(tail)

    await eventually(both_seen)
    lines = (await tail.stdout.read()).splitlines()
    assert len(lines) == 2
    assert tail.returncode == 0


async def _ended(process: asyncio.subprocess.Process) -> bool:
    try:
        await asyncio.wait_for(process.wait(), 0.3)
    except TimeoutError:
        return False
    return True


async def test_an_invalid_line_is_named_and_its_batch_not_appended(console: Console) -> None:
    """Exit code 5, the number of the line, the field, and what is wrong with it."""
    bad = as_lines(usage("never"), usage("never", input_tokens=-1))
    refused = await console.run("events", "publish", "-", stdin=bad)
    assert refused.code == 5
    assert "line 2, data.input_tokens" in refused.err
    assert "Traceback" not in refused.err
    broken = await console.run("events", "publish", "-", stdin=b'{"specversion": ')
    assert broken.code == 5
    assert "line 1 is not JSON" in broken.err
    missing = await console.run("events", "publish", "no-such-file.jsonl")
    assert missing.code == 2
    read = await console.succeeds(
        "events", "tail", "usage", "--from", "start", "--until", "end", "--key", "never"
    )
    assert read.out == ""


async def test_breakers_are_forced_and_cleared(console: Console) -> None:
    """By name, with a reason, for a while; what is shown says so."""
    await console.succeeds("events", "publish", "-", stdin=as_lines(usage(provider="forced")))

    async def is_now(state: str) -> bool:
        shown = await console.run("breakers", "show", "forced/gpt-4o", "--json")
        return shown.code == 0 and shown.json["state"] == state

    await eventually(lambda: is_now("CLOSED"))
    arguments = ("FORCED_OPEN", "--reason", "maintenance", "--actor", "ann", "--for-s", "600")
    await console.succeeds("breakers", "override", "forced/gpt-4o", *arguments)
    await eventually(lambda: is_now("FORCED_OPEN"))
    shown = await console.succeeds("breakers", "show", "forced/gpt-4o")
    assert "FORCED_OPEN by ann: maintenance" in shown.out
    listed = (await console.succeeds("breakers", "list", "--provider", "forced", "--json")).json
    assert [one["admits"] for one in listed["breakers"]] == [False]
    await console.succeeds("breakers", "clear", "forced/gpt-4o", "--actor", "ann", "--reason", "done")
    await eventually(lambda: is_now("CLOSED"))
    refused = await console.run("breakers", "override", "forced/gpt-4o", "OPEN", "--reason", "x")
    assert refused.code == 5
    assert (await console.run("breakers", "show", "no/such")).code == 4


async def test_budgets_are_set_listed_and_removed(console: Console) -> None:
    """A team's budget, with what was spent of it."""
    await console.succeeds(
        "events", "publish", "-", stdin=as_lines(usage("cli-tenant", team="search", cost_usd="30"))
    )
    arguments = ("--level", "TEAM", "--subject", "search", "--zone", "Europe/Berlin", "--enforcement", "soft")
    await console.succeeds("budgets", "set", "cli-tenant", "search", "100.00", *arguments)

    async def spent() -> bool:
        shown = await console.run("budgets", "show", "cli-tenant", "search", "--json")
        return shown.code == 0 and shown.json["spent_usd"] == "30"

    await eventually(spent)
    listed = await console.succeeds("budgets", "list", "cli-tenant")
    assert "cli-tenant/search" in listed.out
    assert "team search" in listed.out
    assert [one["hard"] for one in (await console.succeeds("budgets", "list", "--json")).json["budgets"]] == [
        False
    ]
    await console.succeeds("budgets", "remove", "cli-tenant", "search", "--reason", "over")

    async def gone() -> bool:
        return (await console.run("budgets", "show", "cli-tenant", "search")).code == 4

    await eventually(gone)
    wrong = await console.run("budgets", "set", "cli-tenant", "search", "many")
    assert wrong.code == 5
    assert "limit_usd" in wrong.err


async def test_a_provider_is_shown_edited_and_set(console: Console, tmp_path: Path) -> None:
    """What `show` prints can be given to `set`."""
    file = tmp_path / "provider.json"
    file.write_bytes(orjson.dumps({"priority": 7, "breaker_policy": {"consecutive_failures": 3}}))
    await console.succeeds("providers", "set", "cli-provider", str(file), "--actor", "ann")

    async def priority_is(priority: int) -> bool:
        shown = await console.run("providers", "show", "cli-provider")
        return shown.code == 0 and shown.json["priority"] == priority

    await eventually(lambda: priority_is(7))
    shown = (await console.succeeds("providers", "show", "cli-provider")).json
    assert (shown["actor"], shown["breaker_policy"]["consecutive_failures"]) == ("ann", 3)
    file.write_bytes(orjson.dumps(shown | {"priority": 8}))
    await console.succeeds("providers", "set", "cli-provider", str(file))
    await eventually(lambda: priority_is(8))
    assert "cli-provider" in (await console.succeeds("providers", "list")).out
    assert (await console.succeeds("providers", "health", "cli-provider", "--json")).json[
        "status"
    ] == "UNKNOWN"
    file.write_text("[]")
    assert (await console.run("providers", "set", "cli-provider", str(file))).code == 2


async def test_a_state_is_shown_as_it_was(console: Console) -> None:
    """From a generation that was built until then, which is listed, found by its time, and dropped."""
    failures = as_lines(*(usage("past", provider="mistral", outcome="TIMEOUT") for _ in range(5)))
    await console.succeeds("events", "publish", "-", stdin=failures)

    async def breaker_is(state: str) -> bool:
        shown = await console.run("breakers", "show", "mistral/gpt-4o", "--json")
        return shown.code == 0 and shown.json["recorded_state"] == state

    async def nothing_lags() -> bool:
        return bool((await console.succeeds("status", "--json")).json["lag"] == 0)

    await eventually(lambda: breaker_is("OPEN"))
    await eventually(nothing_lags)
    await published(console)
    then = format_time_us(time.time_ns() // 1000)
    await console.succeeds("breakers", "override", "mistral/gpt-4o", "DISABLED", "--reason", "a test")
    await eventually(lambda: breaker_is("DISABLED"))
    as_of = ("--as-of", then)
    ended = await console.run("show", "breaker", "mistral/gpt-4o", *as_of)
    assert (ended.code, "interlock rebuild live --until" in ended.err) == (4, True)
    plan = (await console.succeeds("rebuild", "live", "--until", then, "--dry-run", "--json")).json
    built = (await console.succeeds("rebuild", "live", "--until", then, "--json")).json
    number = built["generation"]
    assert (built["as_of"], built["folded"], plan["records"]) == (then, plan["records"], built["folded"])
    shown = await console.succeeds("show", "breaker", "mistral/gpt-4o", *as_of, "--json")
    assert (shown.json["recorded_state"], shown.json["at"]) == ("OPEN", then)
    assert f"from generation {number}, as of {then}" in shown.err
    shown = await console.succeeds("show", "provider", "mistral", *as_of)
    assert shown.json["deployments"] == ["mistral/gpt-4o"]
    named = ("--generation", str(number), "--json")
    [listed] = (await console.succeeds("breakers", "list", "--provider", "mistral", *named)).json["breakers"]
    assert listed["recorded_state"] == "OPEN"
    assert (await console.succeeds("status", *named)).json["generation"] == number
    assert f"as of {then}" in (await console.succeeds("generations", "list")).out
    planned = (await console.succeeds("generations", "drop", str(number), "--dry-run", "--json")).json
    assert (planned["dropped"], planned["keys"] > 0) == (False, True)
    assert (await console.succeeds("status", *named)).json["generation"] == number
    refused = await console.run("generations", "switch", str(number), "--dry-run")
    assert (refused.code, "as of an earlier time" in refused.err) == (5, True)
    await console.succeeds("generations", "drop", str(number))
    ended = await console.run("budgets", "list", *named)
    assert (ended.code, "interlock generations list" in ended.err) == (4, True)


async def test_dead_letters_are_listed_shown_and_redriven(console: Console) -> None:
    """A record that is no event, put on the log past the API."""
    from aiokafka import AIOKafkaProducer

    bootstrap = orjson.loads((console.folder / ".interlock" / "addresses.json").read_bytes())["servers"][
        "log"
    ]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=False) as producer:
        await producer.send_and_wait("interlock.usage", b"no event", key=b"acme")

    async def lettered() -> bool:
        return bool((await console.succeeds("dead-letters", "list", "--reason", "bad_magic", "--json")).json)

    await eventually(lettered)
    [letter] = (await console.succeeds("dead-letters", "list", "--reason", "bad_magic", "--json")).json
    assert letter["record"].startswith("usage-")
    shown = await console.succeeds("dead-letters", "show", letter["letter_id"])
    assert "no event" in shown.out
    assert (await console.run("dead-letters", "show", "nonsense")).code == 4
    assert (await console.run("dead-letters", "redrive")).code == 2
    planned = ("dead-letters", "redrive", "--reason", "bad_magic", "--dry-run", "--json")
    assert (await console.succeeds(*planned)).json == [letter]
    assert (await console.succeeds("dead-letters", "list", "--reason", "bad_magic", "--json")).json == [
        letter
    ]
    outcome = (await console.succeeds("dead-letters", "redrive", letter["letter_id"], "--json")).json
    assert [one["letter_id"] for one in outcome["redriven"]] == [letter["letter_id"]]
    left = (await console.succeeds("dead-letters", "list", "--redriven", "--json")).json
    assert letter["letter_id"] in {one["letter_id"] for one in left if one["redriven"]}


async def test_a_record_with_a_bad_header_name_can_be_looked_at(console: Console) -> None:
    """It is an event to `events tail`, and a letter that is shown and redriven."""
    from aiokafka import AIOKafkaProducer

    addresses = orjson.loads((console.folder / ".interlock" / "addresses.json").read_bytes())["servers"]
    record = Raw(b"acme", CODEC.encode(usage_event(request_id="odd")), [("\udcff[x]", b"1")])
    async with AIOKafkaProducer(bootstrap_servers=addresses["log"], enable_idempotence=False) as producer:
        await produce(producer, "interlock.usage", partition_of(b"acme", 4), batch_of([record]))
    letters: list[dict[str, str]] = []

    async def lettered() -> bool:
        listing = ("dead-letters", "list", "--reason", "bad_header", "--json")
        letters.extend((await console.succeeds(*listing)).json)
        return bool(letters)

    await eventually(lettered)
    shown = await console.succeeds("dead-letters", "show", letters[0]["letter_id"])
    assert r"b'\xff[x]' is not UTF-8" in shown.out
    await console.succeeds("dead-letters", "redrive", letters[0]["letter_id"])
    told = await console.succeeds("events", "tail", "usage", "--from", "start", "--until", "end")
    assert told.out.count("request_id=odd") == 2


async def test_without_a_server_a_command_says_what_to_do(tmp_path: Path) -> None:
    """Exit code 3 and one line, whether it asks the API or the log."""
    alone = Console(
        tmp_path,
        {
            "INTERLOCK_API_URL": "http://127.0.0.1:1",
            "INTERLOCK_LOG__BOOTSTRAP": "127.0.0.1:1",
            "INTERLOCK_LOG__REQUEST_TIMEOUT_S": "1",
        },
    )
    for command in (("status",), ("topics", "list"), ("dead-letters", "list")):
        ended = await alone.run(*command)
        assert ended.code == 3, ended.err
        assert len(ended.err.strip().splitlines()) == 1
        assert "interlock up" in ended.err


async def test_a_wrong_setting_is_told_in_one_line(tmp_path: Path) -> None:
    """Exit code 2, with the name as it was written."""
    ended = await Console(tmp_path, {"INTERLOCK_LOG__BOOTSTRAPS": "x"}).run("topics", "list")
    assert ended.code == 2
    assert ended.err.strip().splitlines() == [
        "interlock: log.bootstraps (INTERLOCK_LOG__BOOTSTRAPS): no such setting"
    ]


@pytest.mark.parametrize(
    "command",
    ["up", "serve", "work", "demo", "status", "events", "topics", "dead-letters", "restore", "show"],
)
async def test_every_command_helps_with_an_example(command: str, tmp_path: Path) -> None:
    """What it is for, and how it is called."""
    ended = await Console(tmp_path).succeeds(command, "--help")
    assert "Usage" in ended.out
