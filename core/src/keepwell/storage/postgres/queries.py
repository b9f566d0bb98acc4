"""SQL from files: named blocks, made whole by one builder that writes the walls.

A block begins with ``-- name: NAME`` and a comment line. In it, ``{schema}`` stands for our tables' schema,
``{vector}`` for the type and ``{extensions}`` for its schema; and these stand for what only this module writes:

``@gate``       sets the tenant for this statement. It is an uncorrelated sub-select, which PostgreSQL runs
                before it reads a row; in any other place it would run too late (docs/explanation/walls.md).
``@wall(a)``    the gate, and alias ``a`` belongs to the tenant.
``@owner(a)``   the wall, and alias ``a`` belongs to the exact owner.
``@scope(a)``   the wall, and alias ``a`` belongs to an owner that the scope covers.
``@within(a)``  the same for rows that are reached by key or thread: it is written so that no index on the owner
                can serve it. Before the first ANALYZE the planner takes an owner for rarer than a key, and
                reads all of the owner's rows for each (measured: 80 ms instead of 0.2).
``@exact(a)``   the same for the exact owner.
``@walked(a)``  the same for rows that are met on a walk over an index in another order: it is written so that the
                planner takes half of them to be the owner's. It would take one in 200, sort them all instead, and
                compare a vector with 50,000 (measured: 60 ms instead of 3).
``@met(a)``     the same for the exact owner.
``@reached(a)`` the wall for rows that are reached by a key or by where they lie (``ctid``): no index on the tenant
                can serve it. The planner takes a tenant that came after the last ANALYZE for one row, and would
                compare each row of it with each place (measured: 60 s to forget 15,000 messages instead of 0.6).
``@lodged(a)``  the wall for LangGraph's tables, which have no tenant: alias ``a`` lies where the parameter
                ``lodgings`` says, and that is a place of the tenant's.
``@thread(a)``, ``@columns(a)``, ``@fact(a)``, ``@facts(a)``, ``@item(a)``, ``@vectors(a)``, ``@entity(a)``,
``@relation(a)``, ``@server``, ``@active``, ``@cluster``, ``@stamp``   column lists that several blocks share.
``@mark(a)``    32 bits of a hash of the text ``a.state``, as a number above 0.
``@use(name)``  the text of another block, which is a part of several statements and none by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from psycopg import sql

from keepwell.models import Scope

GATE = "(select set_config('keepwell.tenant', %(tenant)s, true) is not null)"
_SHARED = {
    "thread": (
        "{a}.id, {a}.key, {a}.user_id, {a}.agent_id, {a}.run_id, {a}.title, {a}.metadata, {a}.created_at,"
        " {a}.updated_at, {a}.last_seq, {a}.messages, {a}.source, {a}.source_seq"
    ),
    "columns": (
        "array_send(array_agg({a}.key)), array_send(array_agg({a}.thread)), array_send(array_agg({a}.seq)),"
        " array_send(array_agg({a}.created_at)), array_send(array_agg({a}.recorded_at)), string_agg({a}.terms, E'\\n'),"
        " string_agg({a}.actor, E'\\n'), string_agg({a}.signals, E'\\n')"
    ),
    "fact": (
        "{a}.key, {a}.id, {a}.version, {a}.body, {a}.user_id, {a}.agent_id, {a}.run_id, {a}.fact_key, {a}.valid_from,"
        " {a}.valid_to, {a}.recorded_at, {a}.retired_at, {a}.expires_at, {a}.reopened"
    ),
    "facts": (
        "array_send(array_agg(-{a}.key)), array_send(array_agg({a}.id)),"
        " array_send(array_agg(coalesce({a}.valid_from, {a}.recorded_at))), array_send(array_agg({a}.recorded_at)),"
        " array_send(array_agg(coalesce({a}.retired_at, case when {a}.reopened then timestamptz 'epoch'"
        " else timestamptz 'infinity' end))),"
        " string_agg({a}.terms, E'\\n'), string_agg({a}.actor, E'\\n'), string_agg({a}.signals, E'\\n')"
    ),
    "item": (
        "{a}.key, {a}.user_id, {a}.agent_id, {a}.run_id, {a}.fact_key, {a}.body,"
        " coalesce({a}.began_at, {a}.recorded_at), coalesce({a}.touched_at, {a}.recorded_at), {a}.expires_at, {a}.ttl"
    ),
    "vectors": "array_send(array_agg({a}.message)), string_agg({{extensions}}.vector_send({a}.embedding), ''::bytea)",
}
_SHARED["entity"] = (
    "{a}.id, {a}.version, {a}.name, {a}.user_id, {a}.agent_id, {a}.run_id, {a}.type,"  # noqa: S608 - constants
    " {a}.metadata, {a}.merged_into,"
    " {a}.retired_at, {a}.first_seen, {a}.last_seen, (select json_agg(json_build_array(n.shown, n.given, n.folded)"
    f" order by n.key) from {{{{schema}}}}.name n where {GATE} and n.tenant || '' = %(tenant)s and n.entity = {{a}}.id)"
)
_SHARED["relation"] = (
    "{a}.id, {a}.version, {a}.subject, {a}.predicate, {a}.object,"  # noqa: S608 - constants
    " {a}.user_id, {a}.agent_id, {a}.run_id,"
    " {a}.recorded_at, {a}.valid_from, {a}.valid_to, {a}.retired_at, {a}.given, (select json_agg(json_build_array("
    "g.message, g.span_start, g.span_end, g.fact, g.fact_version) order by g.message, g.span_start, g.fact)"
    f" from {{{{schema}}}}.ground g where {GATE} and g.tenant || '' = %(tenant)s and g.item = {{a}}.id"
    " and g.version = {a}.version)"
)
_SERVER = "(extract(epoch from pg_postmaster_start_time())::text || '/' || pg_is_in_recovery()::text)"
_ACTIVE = "(select s.key from {schema}.space s where " + GATE + " and s.tenant = %(tenant)s and s.active)"  # noqa: S608 - constants
_CLUSTER = (
    "('/' || (select c.system_identifier::text from pg_control_system() c) || '/'"
    " || (select c.timeline_id::text from pg_control_checkpoint() c))"
)
_STAMP = (
    "(select pg_snapshot_xmax(c.now)::text::bigint - (select count(*) from pg_snapshot_xip(c.now))"
    " from (select pg_current_snapshot() as now) c)"
)
_LODGED = (
    "{a}.thread_id = any(array(select l.lodging from {{schema}}.checkpoint_thread l"  # noqa: S608 - constants
    f" where {GATE} and l.tenant || '' = %(tenant)s and l.lodging = any(%(lodgings)s)))"
)
_SHARED["mark"] = "('x' || left(encode(sha256(convert_to({a}.state, 'UTF8')), 'hex'), 8))::bit(32)::bigint"
_BARE = {"gate": GATE, "server": _SERVER, "active": _ACTIVE, "cluster": _CLUSTER, "stamp": _STAMP}
_MACRO = re.compile(
    r"@(use|wall|owner|scope|within|walked|met|exact|reached|lodged|thread|columns|facts?|item|vectors|entity|relation|mark)\((\w+)\)"
    r"|@(gate|server|active|cluster|stamp)\b"
)
_BLOCK = re.compile(r"^-- name: (\w+)\n((?:--[^\n]*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Names:
    """Where things are in a database: the schema of our tables, and that of pgvector."""

    schema: str
    extensions: str


@cache
def blocks() -> Mapping[str, str]:
    """Give every named block of the SQL files."""
    found: dict[str, str] = {}
    for file in sorted(files(__package__).joinpath("sql").iterdir(), key=lambda f: f.name):
        parts = _BLOCK.split(file.read_text("utf-8"))
        for name, body in zip(parts[1::3], parts[3::3], strict=True):
            found[name] = body.strip()
    return found


@lru_cache(maxsize=2048)
def statement(name: str, names: Names, scope: Scope | None = None) -> bytes:
    """Give the statement of that name for a database, with the predicates that the scope's shape needs.

    Only which ids the scope has matters here; their values are parameters (see :func:`scope_parameters`).
    """
    return compose(_expand(blocks()[name], scope), names)


def compose(text: str, names: Names) -> bytes:
    """Put the quoted names of schema and type into SQL text."""
    composed = sql.SQL(text).format(
        schema=sql.Identifier(names.schema),
        extensions=sql.Identifier(names.extensions),
        vector=sql.Identifier(names.extensions, "vector"),
    )
    return composed.as_string(None).encode()


def shape(scope: Scope) -> Scope:
    """Give the scope with its ids blotted out, so that scopes alike share one statement."""
    user, agent, run = (None if value is None else "*" for value in (scope.user_id, scope.agent_id, scope.run_id))
    return Scope(user, agent, run, scope.across_users)


def scope_parameters(scope: Scope) -> dict[str, object]:
    """Give the values for ``@scope``."""
    return scope.owner._asdict()


def _expand(text: str, scope: Scope | None) -> str:
    def write(found: re.Match[str]) -> str:
        macro, alias, bare = found.groups()
        if bare:
            return _BARE[bare]
        if macro == "use":
            return _expand(blocks()[alias], scope)
        if macro in _SHARED:
            return _SHARED[macro].format(a=alias)
        return _predicates(macro, alias, scope)

    return _MACRO.sub(write, text)


def _predicates(macro: str, alias: str, scope: Scope | None) -> str:
    if macro == "lodged":
        return f"{GATE} and {_LODGED.format(a=alias)}"
    ids: list[str] = []
    if macro in ("owner", "exact", "met"):
        ids = ["user_id", "agent_id", "run_id"]
    elif macro in ("scope", "within", "walked"):
        if scope is None:
            raise TypeError("this statement needs a scope")
        ids = [] if scope.across_users else ["user_id"]
        ids += [name for name in ("agent_id", "run_id") if getattr(scope, name) is not None]
    hidden = " || ''" if macro in ("within", "exact") else ""
    owners = [f"{alias}.{name}{hidden} = %({name})s" for name in ids]
    if macro in ("walked", "met"):
        owners = [f"coalesce({owner}, false)" for owner in owners]
    tenant = f"{alias}.tenant || ''" if macro == "reached" else f"{alias}.tenant"
    return " and ".join([GATE, f"{tenant} = %(tenant)s", *owners])
