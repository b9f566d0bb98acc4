"""Cypher of the store from files: named blocks, made whole by one builder that writes the walls.

A block begins with ``// name: NAME`` and a comment line. In it stand for what only this module writes:

``@wall(a)``   node ``a`` belongs to the tenant.
``@owner(a)``  the wall, and ``a`` belongs to the exact owner of the parameters.
``@scope(a)``  the wall, and ``a`` belongs to an owner that the scope covers.
``@message(a)``, ``@place(a)``, ``@fact(a)``   maps of properties that several blocks share: a message whole, a message
without what it says, and a version of a fact with its sources and the places of its vectors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, LiteralString

from keepwell.models import Scope

if TYPE_CHECKING:
    from keepwell.models import Owner

_PLACE = (
    "{a} {{.thread, .key, .seq, .id, .content, .terms, .created_at, .recorded_at, .actor, .signals, .again,"
    " .parked_error, .parked_at, .waits, .found_after, .formed_after, .rev,"
    " versions: size(coalesce({a}.versions, []))}}"
)
_FACT = (
    "{a} {{.*, messages: [({a})-[r:RESTS_ON]->(m:KeepwellMessage) | [m.key, r.start, r.end, r.place]],"
    " facts: [({a})-[r:FORMED_FROM]->(g:KeepwellFact) | [g.id, g.version, r.start, r.end, r.place]],"
    " vectors: [({a})<-[:VECTOR_OF]-(v:KeepwellVector) | [v.space, v.chunk]]}}"
)
_SHARED = {"place": _PLACE, "message": "{a} {{.*}}", "fact": _FACT}
_MACRO = re.compile(r"@(wall|owner|scope|place|message|fact)\((\w+)\)")
_BLOCK = re.compile(r"^// name: (\w+)\n((?://[^\n]*\n)+)", re.MULTILINE)
_FILES = ("store_conversations", "store_facts", "store_loading", "store_nearest", "store_work")


@cache
def blocks() -> Mapping[str, str]:
    """Give every named block of the store's Cypher files."""
    found: dict[str, str] = {}
    for name in _FILES:
        text = (files(__package__) / "cypher" / f"{name}.cypher").read_text("utf-8")
        parts = _BLOCK.split(text)[1:]
        found |= {name: body.strip() for name, body in zip(parts[::3], parts[2::3], strict=True)}
    return found


@lru_cache(maxsize=1024)
def statement(name: str, across_users: bool = False, agent: bool = False, run: bool = False) -> LiteralString:
    """Give a block with its walls written out; which ids the scope names decides how."""

    def written(found: re.Match[str]) -> str:
        kind, alias = found.groups()
        if kind in _SHARED:
            return _SHARED[kind].format(a=alias)
        wall = [f"{alias}.tenant = $tenant"]
        if kind == "owner":
            wall += [f"{alias}.{part} = $owner_{part}" for part in ("user_id", "agent_id", "run_id")]
        elif kind == "scope":
            # An index on tenant and user serves both: one on several properties wants something said of each.
            wall += [f"{alias}.user_id IS NOT NULL" if across_users else f"{alias}.user_id = $scope_user_id"]
            wall += [f"{alias}.agent_id = $scope_agent_id"] if agent else []
            wall += [f"{alias}.run_id = $scope_run_id"] if run else []
        return " AND ".join(wall)

    # Only names of nodes in our own files get into the text; values travel as parameters.
    return _MACRO.sub(written, blocks()[name])


def scoped(name: str, scope: Scope) -> tuple[LiteralString, dict[str, Any]]:
    """Give a block for a scope, with the scope's parameters."""
    text = statement(name, scope.across_users, scope.agent_id is not None, scope.run_id is not None)
    return text, {
        "scope_user_id": scope.user_id or "",
        "scope_agent_id": scope.agent_id,
        "scope_run_id": scope.run_id,
    }


def for_space(text: LiteralString, space: int) -> LiteralString:
    """Give a statement with the label of a space in the place of ``KeepwellNear0``: no parameter can be a label."""
    written: LiteralString = str(int(space))
    return text.replace("KeepwellNear0", "KeepwellNear" + written)


def of_owner(owner: Owner) -> dict[str, Any]:
    """Give the parameters that name an exact owner."""
    return {f"owner_{part}": value for part, value in owner._asdict().items()}
