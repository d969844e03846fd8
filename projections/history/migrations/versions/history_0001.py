"""The first tables: one per topic, the checkpoints, what could not be read, and the rollups of usage.

Tables of events and rollups are partitioned by month. What lies before 2015 or after 2099 is kept in a partition of its
own at either end; the months between are created by the sink, ahead of time and when a late event asks for one.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIRST_MONTH = "2015-01-01 00:00:00+00"
END_OF_MONTHS = "2100-01-01 00:00:00+00"

ENVELOPE = """
        event_id uuid NOT NULL,
        occurred_at timestamptz NOT NULL,
        source text NOT NULL,
        tenant text NOT NULL,
        correlation_id text,
        causation_id text,
"""
ON_THE_LOG = """
        log_partition integer NOT NULL,
        log_offset bigint NOT NULL,
        appended_at timestamptz NOT NULL
"""
EVENTS = {
    "health": """
        provider text NOT NULL,
        model text,
        region text,
        status text NOT NULL,
        latency_ms double precision,
        status_code bigint,
        error text,
    """,
    "usage": """
        request_id text NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        region text,
        org text,
        team text,
        "user" text,
        api_key text,
        outcome text NOT NULL,
        status_code bigint,
        error text,
        input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        cached_input_tokens bigint NOT NULL,
        latency_ms bigint NOT NULL,
        first_token_ms bigint,
        retry_after_ms bigint,
        cost_nano_usd bigint,
        price_version text,
        breaker_epoch bigint,
        attempt bigint NOT NULL,
        attributes jsonb NOT NULL,
    """,
    "routing": """
        request_id text NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        region text,
        strategy text NOT NULL,
        candidates jsonb NOT NULL,
        fallback_chain jsonb NOT NULL,
        known_positions jsonb NOT NULL,
        estimated_cost_nano_usd bigint,
        estimated_latency_ms bigint,
        attempt bigint NOT NULL,
    """,
    "outcomes": """
        provider text NOT NULL,
        model text NOT NULL,
        region text,
        source_topic text NOT NULL,
        source_partition bigint NOT NULL,
        source_start bigint NOT NULL,
        source_end bigint NOT NULL,
        runs jsonb NOT NULL,
    """,
    "breakers": """
        provider text NOT NULL,
        model text NOT NULL,
        region text,
        version bigint NOT NULL,
        from_state text NOT NULL,
        to_state text NOT NULL,
        cause text NOT NULL,
        reason text NOT NULL,
        epoch bigint NOT NULL,
        trips bigint NOT NULL,
        open_until bigint,
        calls bigint NOT NULL,
        failures bigint NOT NULL,
        slow_calls bigint NOT NULL,
        consecutive_failures bigint NOT NULL,
        policy_version bigint NOT NULL,
        outcomes_offset bigint NOT NULL,
        run_index bigint NOT NULL,
        run_calls bigint NOT NULL,
        override_actor text,
        override_reason text,
        override_until bigint,
    """,
    "overrides": """
        provider text NOT NULL,
        model text,
        region text,
        mode text NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
        expires_at bigint,
    """,
    "providers": """
        provider text NOT NULL,
        change text NOT NULL,
        version bigint NOT NULL,
        models jsonb NOT NULL,
        regions jsonb NOT NULL,
        enabled boolean NOT NULL,
        priority bigint NOT NULL,
        breaker_policy jsonb,
        deployment_policies jsonb NOT NULL,
        actor text NOT NULL,
        attributes jsonb NOT NULL,
    """,
    "budgets": """
        budget_id text NOT NULL,
        change text NOT NULL,
        version bigint NOT NULL,
        level text NOT NULL,
        subject text,
        provider text,
        model text,
        period text NOT NULL,
        rolling_hours bigint,
        zone text NOT NULL,
        limit_nano_usd bigint NOT NULL,
        hard boolean NOT NULL,
        soft_limits_percent jsonb NOT NULL,
        rollover_cap_nano_usd bigint NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
    """,
    "alerts": """
        kind text NOT NULL,
        severity text NOT NULL,
        subject text NOT NULL,
        title text NOT NULL,
        threshold_percent bigint,
        period_start bigint,
        period_end bigint,
        value_nano_usd bigint,
        limit_nano_usd bigint,
    """,
    "audit": """
        actor text NOT NULL,
        action text NOT NULL,
        subject text NOT NULL,
        result text NOT NULL,
        detail text NOT NULL,
        attributes jsonb NOT NULL,
    """,
    "dead_letters": """
        letter_id text NOT NULL,
        status text NOT NULL,
        topic text NOT NULL,
        partition bigint NOT NULL,
        "offset" bigint NOT NULL,
        record_time bigint NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        consumer text NOT NULL,
        key bytea,
        headers jsonb NOT NULL,
        part bigint NOT NULL,
        parts bigint NOT NULL,
        value bytea,
        packed boolean NOT NULL,
    """,
}
INDEXES = {
    "health": ("provider, occurred_at",),
    "usage": (),
    "routing": ("tenant, occurred_at", "request_id"),
    "outcomes": ("provider, occurred_at",),
    "breakers": ("provider, model, occurred_at",),
    "overrides": ("provider, occurred_at",),
    "providers": ("provider, occurred_at",),
    "budgets": ("tenant, budget_id, occurred_at",),
    "alerts": ("tenant, occurred_at", "subject, occurred_at"),
    "audit": ("actor, occurred_at",),
    "dead_letters": ("letter_id",),
}
"""Beside the one on `occurred_at` that every table has."""

CHECKPOINTS = """
    CREATE TABLE checkpoints (
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        epoch bigint NOT NULL,
        owner text NOT NULL,
        PRIMARY KEY (topic, partition)
    )
"""
REFUSED = """
    CREATE TABLE refused (
        topic text NOT NULL,
        log_partition integer NOT NULL,
        log_offset bigint NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        key bytea,
        value bytea,
        appended_at timestamptz NOT NULL,
        PRIMARY KEY (topic, log_partition, log_offset)
    )
"""
ROLLUPS = ("usage_by_minute", "usage_by_hour", "usage_by_day")
# Absent regions and users are empty text. One row has one writer: the owner of the log partition that it names.
ROLLUP_COLUMNS = """
        bucket timestamptz NOT NULL,
        tenant text NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        region text NOT NULL,
        "user" text NOT NULL,
        log_partition integer NOT NULL,
        calls bigint NOT NULL,
        successes bigint NOT NULL,
        failures bigint NOT NULL,
        connect_error bigint NOT NULL,
        tls_error bigint NOT NULL,
        timeout bigint NOT NULL,
        server_error bigint NOT NULL,
        overloaded bigint NOT NULL,
        stream_cut bigint NOT NULL,
        rate_limited bigint NOT NULL,
        unauthorized bigint NOT NULL,
        billing bigint NOT NULL,
        bad_request bigint NOT NULL,
        context_length bigint NOT NULL,
        content_filter bigint NOT NULL,
        cancelled bigint NOT NULL,
        other bigint NOT NULL,
        input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        cached_input_tokens bigint NOT NULL,
        cost_nano_usd bigint NOT NULL,
        unpriced_calls bigint NOT NULL,
        latency_ms_sum bigint NOT NULL,
        latency_sketch bytea NOT NULL,
        PRIMARY KEY (tenant, bucket, provider, model, region, "user", log_partition)
"""


def upgrade() -> None:
    op.execute(CHECKPOINTS)
    op.execute(REFUSED)
    for table, columns in EVENTS.items():
        op.execute(f"CREATE TABLE {table} ({ENVELOPE}{columns}{ON_THE_LOG}) PARTITION BY RANGE (occurred_at)")
        for index in ("occurred_at", *INDEXES[table]):
            op.execute(f"CREATE INDEX ON {table} ({index})")
        _ends(table, "PRIMARY KEY (event_id)")
    # Written always and asked for seldom: filters for ranges of pages, at a tenth of the cost of trees. They find a
    # request and a small tenant; the calls of a large one are never far apart in `occurred_at`.
    op.execute(
        "CREATE INDEX ON usage USING brin (tenant text_bloom_ops, request_id text_bloom_ops) "
        "WITH (autosummarize = on, pages_per_range = 64)"
    )
    for table in ROLLUPS:
        op.execute(f"CREATE TABLE {table} ({ROLLUP_COLUMNS}) PARTITION BY RANGE (bucket)")
        op.execute(f"CREATE INDEX ON {table} (bucket)")
        _ends(table, "")


def downgrade() -> None:
    for table in (*ROLLUPS, *EVENTS, "refused", "checkpoints"):
        op.execute(f"DROP TABLE {table}")


def _ends(table: str, constraint: str) -> None:
    """The partitions before and after all months. An event's id is unique within each partition."""
    inside = f"({constraint})" if constraint else ""
    op.execute(
        f"CREATE TABLE {table}_early PARTITION OF {table} {inside} "
        f"FOR VALUES FROM (MINVALUE) TO ('{FIRST_MONTH}')"
    )
    op.execute(
        f"CREATE TABLE {table}_late PARTITION OF {table} {inside} "
        f"FOR VALUES FROM ('{END_OF_MONTHS}') TO (MAXVALUE)"
    )
