"""How long a question for a usage series takes over five million calls: from the question to the bytes of its answer.

A PostgreSQL with the history's tables holds ten days of calls of ten tenants with fifty users, each at two of five
deployments, and their rollups in every grain, made by SQL as the sink makes them. Dashboards ask for minutes of the last
hours, hours of the last days and days of all, whole or of one tenant, split by one or two dimensions or not at all; each
question is asked for another stretch of time. Splitting by what is not rolled up (teams) sums the calls one by one; that
is shown beside.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg

from api.cli.garbage import collect_seldom
from api.cli.serve import GARBAGE_AFTER_OBJECTS
from api.resources.usage_history import series_view
from bench.lab import Lab
from bench.report import Row, show
from embedded.postgres import PostgresServer
from projections.history.migrations.migrate import upgrade
from projections.history.queries.reader import HistoryReader
from projections.history.queries.series import series
from projections.history.queries.span import Span
from projections.history.queries.usage import ROW_BUCKET, ROW_SKETCH, ROW_SUMS, Dimension
from projections.history.rollups import OTHER_OUTCOMES, Grain
from projections.history.settings import HistorySettings
from projections.history.sketch import COUNT_BITS

CALLS: Final = 5_000_000
DAYS: Final = 10
FIRST_DAY: Final = "2026-03-01"
START_US: Final = 1_772_323_200_000_000
HOUR_US: Final = Grain.HOUR.length_us
END_US: Final = START_US + DAYS * 24 * HOUR_US
QUESTIONS: Final = 300
BY_ROWS: Final = 15

_CALLS = f"""
insert into {{child}} select
    gen_random_uuid(), at, 'bench', 'tenant-' || who % 10, null, null,
    'req-' || number, (array['openai','openai','anthropic','google','mistral'])[route],
    (array['gpt-4o','gpt-4o-mini','claude-sonnet-4-5','gemini-2.5-pro','mistral-large'])[route],
    (array['eastus',null,null,'europe-west4',null])[route], 'org', 'team-' || who % 7, 'user-' || who, 'key-' || who,
    case when odd < 0.97 then 'SUCCESS' when odd < 0.98 then 'SERVER_ERROR' when odd < 0.99 then 'TIMEOUT' else 'RATE_LIMITED' end,
    200, null, 50 + (odd * 3950)::int, 1 + (number % 800), 10, 300 + (8700 * odd * odd)::int, 100, null,
    (odd * 40000000)::bigint, 'bench', 0, 1, '{{{{}}}}', 0, number, at
from (
    select number, who, 1 + (who + number % 2) % 5 as route, odd,
        timestamptz '{FIRST_DAY} 00:00:00+00' + number * interval '{DAYS} days' / {CALLS} as at
    from (
        select number, (hashint8(number) & 2147483647) % 50 as who, (hashint8(-number) & 1048575) / 1048576.0::float8 as odd
        from generate_series(0, {CALLS - 1}) as number offset 0
    ) as drawn
) as calls
"""
_NAMES = [kind.lower() for kind in OTHER_OUTCOMES]
_KEYS = 'tenant, provider, model, region, "user"'
_ADDED = (*_NAMES, "input_tokens", "output_tokens", "cached_input_tokens", "cost_nano_usd", "unpriced_calls")
_BUCKETS = f"""
select date_trunc('{{grain}}', occurred_at, 'UTC') as bucket, tenant, provider, model, coalesce(region, '') as region,
    coalesce("user", '') as "user", ({ROW_BUCKET})::bigint as latency_bucket, count(*) as calls,
    count(*) filter (where outcome = 'SUCCESS') as successes,
    count(*) filter (where outcome in ('SERVER_ERROR', 'TIMEOUT')) as failures,
    {", ".join(f"count(*) filter (where outcome = '{kind}') as {name}" for kind, name in zip(OTHER_OUTCOMES, _NAMES, strict=True))},
    sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, sum(cached_input_tokens) as cached_input_tokens,
    sum(cost_nano_usd) as cost_nano_usd, count(*) filter (where cost_nano_usd is null) as unpriced_calls,
    sum(latency_ms) as latency_ms_sum
from usage group by 1, 2, 3, 4, 5, 6, 7
"""
_COARSER = f"""
select date_trunc('day', bucket, 'UTC') as bucket, {_KEYS}, latency_bucket,
    {", ".join(f"sum({name})::bigint as {name}" for name in ("calls", "successes", "failures", *_ADDED, "latency_ms_sum"))}
from hour_buckets group by 1, 2, 3, 4, 5, 6, 7
"""
_ROLL_UP = f"""
insert into {{child}} (
    bucket, {_KEYS}, log_partition, calls, successes, failures, {", ".join(_ADDED)}, latency_ms_sum, latency_sketch
) select
    bucket, {_KEYS}, 0, sum(calls), sum(successes), sum(failures), {", ".join(f"sum({name})" for name in _ADDED)},
    sum(latency_ms_sum),
    string_agg(substring(int8send((latency_bucket << {COUNT_BITS}) | calls) from 5), '' order by latency_bucket)
from ({{buckets}}) as buckets group by 1, 2, 3, 4, 5, 6 order by 1
"""

_MINUTES = f"""
insert into {{child}} (
    bucket, {_KEYS}, log_partition, calls, successes, failures, {", ".join(_ADDED)}, latency_ms_sum, latency_sketch
) select
    date_trunc('minute', occurred_at, 'UTC'), tenant, provider, model, coalesce(region, ''), coalesce("user", ''), 0,
    {", ".join(f"sum({sql})" for sql in ROW_SUMS.values())}, string_agg({ROW_SKETCH}, '')
from usage group by 1, 2, 3, 4, 5, 6 order by 1
"""
"""Few calls of a minute are alike, so their entries are left as they are."""

Question = tuple[Span, Grain, list[Dimension], dict[str, str]]


async def run(_: Lab) -> dict[str, Any]:
    """The figures; `series_p95_ms` is over all questions that the rollups answer."""
    with TemporaryDirectory(prefix="interlock-bench-series-") as folder:
        server = PostgresServer(Path(folder))
        await server.start()
        try:
            filled_s = await _fill(server.address)
            async with HistoryReader(HistorySettings(postgres_dsn=server.address)) as history:
                with _garbage_as_in_the_api():
                    random = Random(7)
                    await _ask(history, _questions(random, 10))
                    found = await _ask(history, _questions(random, QUESTIONS))
                    by_rows = await _ask(history, _questions_by_team(random, BY_ROWS))
        finally:
            await server.stop()
    by_window = {grain: [took for took, (_, asked, _, _) in found if asked is grain] for grain in Grain}
    everything = [took for took, _ in found]
    show(
        f"usage series over {CALLS:,} calls (filled in {filled_s:.0f} s)",
        [
            Row("all questions, p50", _share(everything, 50), "ms"),
            Row("all questions, p95", _share(everything, 95), "ms", "target: 100 ms"),
            *(
                Row(f"windows of a {grain.name.lower()}, p95", _share(held, 95), "ms")
                for grain, held in by_window.items()
            ),
            Row("by team over an hour, call by call, p95", _share([took for took, _ in by_rows], 95), "ms"),
        ],
    )
    return {
        "series_p50_ms": _share(everything, 50),
        "series_p95_ms": _share(everything, 95),
        **{f"series_{grain.name.lower()}_p95_ms": _share(held, 95) for grain, held in by_window.items()},
        "series_by_rows_p95_ms": _share([took for took, _ in by_rows], 95),
        "series_calls": CALLS,
    }


@contextmanager
def _garbage_as_in_the_api() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    collect_seldom(GARBAGE_AFTER_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _questions(random: Random, count: int) -> list[Question]:
    """As dashboards ask: the window goes with the length of the range."""
    asked: list[Question] = []
    for _ in range(count):
        grain, hours = random.choice(
            (
                (Grain.MINUTE, 1),
                (Grain.MINUTE, 3),
                (Grain.HOUR, 24),
                (Grain.HOUR, 72),
                (Grain.HOUR, 168),
                (Grain.DAY, 240),
            )
        )
        length_us = hours * HOUR_US
        start_us = random.randrange(START_US, END_US - length_us + 1)
        by = random.choice(
            (
                [],
                [Dimension.PROVIDER],
                [Dimension.MODEL],
                [Dimension.TENANT],
                [Dimension.PROVIDER, Dimension.REGION],
            )
        )
        filters = {} if random.random() < 0.5 else {"tenant": f"tenant-{random.randrange(10)}"}
        asked.append(
            (Span(start_us, start_us + length_us).widened(grain.length_us), grain, list(by), filters)
        )
    return asked


def _questions_by_team(random: Random, count: int) -> list[Question]:
    return [
        (
            Span(start_us, start_us + HOUR_US).widened(Grain.MINUTE.length_us),
            Grain.MINUTE,
            [Dimension.TEAM],
            {},
        )
        for start_us in (random.randrange(START_US, END_US - HOUR_US) for _ in range(count))
    ]


async def _ask(history: HistoryReader, asked: list[Question]) -> list[tuple[float, Question]]:
    """Milliseconds of each question, one after the other."""
    found = []
    for question in asked:
        span, grain, by, filters = question
        started = time.perf_counter()
        points = await series(history, span, grain, by, filters)
        answer = series_view(span, grain.name.lower(), by, points).model_dump_json(by_alias=True)
        found.append(((time.perf_counter() - started) * 1000, question))
        assert points
        assert answer
    return found


async def _fill(dsn: str) -> float:
    """Seconds that it took. Rows first and indexes after, all in one transaction: so little is written twice."""
    started = time.monotonic()
    await upgrade(dsn, "interlock")
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "interlock"})
    try:
        # What is made here is thrown away: it need not outlive a loss of power.
        await connection.execute("alter system set fsync = off")
        await connection.execute("select pg_reload_conf()")
        await connection.execute("set work_mem = '512MB'; set maintenance_work_mem = '512MB'")
        async with connection.transaction():
            await _make(connection, "usage", _CALLS)
            await _make(connection, Grain.MINUTE.table, _MINUTES)
            await connection.execute(f"create temp table hour_buckets as {_BUCKETS.format(grain='hour')}")
            await _make(connection, Grain.HOUR.table, _rolled_up("select * from hour_buckets"))
            await _make(connection, Grain.DAY.table, _rolled_up(_COARSER))
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
    return time.monotonic() - started


async def _make(connection: asyncpg.Connection[asyncpg.Record], table: str, fill: str) -> None:
    """The month that all calls lie in, as a finished partition."""
    child = f"{table}_y2026m03"
    await connection.execute(f"create table {child} (like {table} including defaults)")
    await connection.execute(fill.format(child=child))
    if table == "usage":
        await connection.execute(f"alter table {child} add primary key (event_id)")
    await connection.execute(
        f"alter table {table} attach partition {child} for values from ('2026-03-01') to ('2026-04-01')"
    )


def _rolled_up(buckets: str) -> str:
    """The statement that fills `{child}`."""
    return _ROLL_UP.replace("{buckets}", buckets)


def _share(times_ms: list[float], percent: int) -> float:
    return round(quantiles(times_ms, n=100)[percent - 1], 2)
