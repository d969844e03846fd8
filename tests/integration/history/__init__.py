"""The history on a real Postgres."""
