"""Who may read one schema may read the one that takes its place."""

from __future__ import annotations

from projections.history.session import Session

_GRANTS = """
    WITH given AS (
        SELECT format('SCHEMA %I', $2::text) AS thing, nspowner AS owner, acl.*
        FROM pg_namespace, aclexplode(nspacl) AS acl WHERE nspname = $1
        UNION ALL
        SELECT format('TABLE %I.%I', $2, relname), relowner, acl.*
        FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace, aclexplode(relacl) AS acl
        WHERE nspname = $1 AND relkind IN ('r', 'p') AND to_regclass(format('%I.%I', $2, relname)) IS NOT NULL
    )
    SELECT format('GRANT %s ON %s TO %s', privilege_type, thing,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS statement
    FROM given WHERE grantee <> owner
"""


async def grant_alike(session: Session, schema: str, other: str) -> None:
    """Give on the other schema, and on its tables of the same names, what others have been given on the one."""
    for row in await session.fetch(_GRANTS, schema, other):
        await session.execute(row["statement"])
