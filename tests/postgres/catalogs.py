"""What PostgreSQL says of a schema, in words that do not name the schema."""

from __future__ import annotations

import re
from typing import Any

import psycopg

_QUESTIONS = {
    "relations": """
        select c.relname, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relpersistence::text
        from pg_class c where c.relnamespace = %(schema)s::regnamespace""",
    "columns": """
        select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation::text,
            a.attnotnull, a.attidentity::text, a.attgenerated::text, a.attstorage::text,
            pg_get_expr(d.adbin, d.adrelid)
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = %(schema)s::regnamespace and a.attnum > 0 and not a.attisdropped""",
    "indexes": """
        select pg_get_indexdef(i.indexrelid), i.indisunique, i.indisprimary, i.indnullsnotdistinct
        from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = %(schema)s::regnamespace""",
    "constraints": """
        select n.conrelid::regclass::text, n.conname, pg_get_constraintdef(n.oid)
        from pg_constraint n where n.connamespace = %(schema)s::regnamespace""",
    "policies": """
        select tablename, policyname, permissive, roles::text, cmd, qual, with_check
        from pg_policies where schemaname = %(schema)s""",
    "functions": "select p.proname from pg_proc p where p.pronamespace = %(schema)s::regnamespace",
    "triggers": """
        select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = %(schema)s::regnamespace and not t.tgisinternal""",
}


def describe(connection: psycopg.Connection[Any], schema: str) -> dict[str, list[str]]:
    """Give every column, index, constraint, policy and flag of a schema, sorted, a list for each kind."""
    named = re.compile(rf"\b{schema}\.")
    found = {}
    for kind, question in _QUESTIONS.items():
        rows = connection.execute(question, {"schema": schema}).fetchall()
        found[kind] = sorted(named.sub("", repr(row)) for row in rows)
    return found


def tables_of_tenants(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    """Give the tables that have a column for the tenant."""
    rows = connection.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant'"
        " where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p') order by 1",
        [schema],
    )
    return [name for (name,) in rows]
