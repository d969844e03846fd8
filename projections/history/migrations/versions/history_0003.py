"""Adjustments of what calls cost: their rows, and what they add to the rollups.

A row of a rollup has one writer: what adjustments of log partition p add lies in rows of their own, under -1 - p.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADJUSTMENTS = """
    CREATE TABLE adjustments (
        event_id uuid NOT NULL,
        occurred_at timestamptz NOT NULL,
        source text NOT NULL,
        tenant text NOT NULL,
        correlation_id text,
        causation_id text,
        usage_id text NOT NULL,
        usage_occurred_at bigint NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        region text,
        org text,
        team text,
        "user" text,
        api_key text,
        outcome text NOT NULL,
        cost_before_nano_usd bigint,
        cost_after_nano_usd bigint NOT NULL,
        price_version_before text,
        price_version text NOT NULL,
        actor text NOT NULL,
        reason text NOT NULL,
        log_partition integer NOT NULL,
        log_offset bigint NOT NULL,
        appended_at timestamptz NOT NULL
    ) PARTITION BY RANGE (occurred_at)
"""


def upgrade() -> None:
    op.execute(ADJUSTMENTS)
    for index in ("occurred_at", "usage_occurred_at", "usage_id"):
        op.execute(f"CREATE INDEX ON adjustments ({index})")
    op.execute(
        "CREATE TABLE adjustments_early PARTITION OF adjustments (PRIMARY KEY (event_id)) "
        "FOR VALUES FROM (MINVALUE) TO ('2015-01-01 00:00:00+00')"
    )
    op.execute(
        "CREATE TABLE adjustments_late PARTITION OF adjustments (PRIMARY KEY (event_id)) "
        "FOR VALUES FROM ('2100-01-01 00:00:00+00') TO (MAXVALUE)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE adjustments")
    op.execute("DELETE FROM checkpoints WHERE topic = 'adjustments'")
    op.execute("DELETE FROM refused WHERE topic = 'adjustments'")
    for grain in ("minute", "hour", "day"):
        op.execute(f"DELETE FROM usage_by_{grain} WHERE log_partition < 0")
