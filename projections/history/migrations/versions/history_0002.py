"""The checkpoints say which record was the last, so that another log under the same offsets is noticed."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE checkpoints ADD COLUMN digest text")


def downgrade() -> None:
    op.execute("ALTER TABLE checkpoints DROP COLUMN digest")
