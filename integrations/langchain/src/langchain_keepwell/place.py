"""Whose turn it is: ids from a run's own context and configuration, never from the door's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keepwell import Scope, errors

_IDS = ("user_id", "agent_id", "run_id")
_CONFIGURED = ("user_id", "agent_id")
"""``run_id`` is not read from ``configurable``: LangGraph's server puts its own there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a turn is remembered: a scope, and the thread within it (None where the run names none)."""

    scope: Scope
    thread: str | None
    incognito: bool = False


def place_of(context: object, configurable: Mapping[str, Any]) -> Place | None:
    """Give the place that a run names; None where it names nobody.

    ``user_id``, ``agent_id`` and ``run_id`` come from the run's context (a mapping, or an object's attributes), then
    ``user_id`` and ``agent_id`` from ``configurable``; an empty id counts as absent. The thread is
    ``configurable["thread_id"]``.
    """
    found: dict[str, str] = {}
    for source, names in ((context, _IDS), (configurable, _CONFIGURED)):
        for name in names:
            value = _look(source, name)
            if name not in found and value not in (None, ""):
                found[name] = str(value)
    if not found:
        return None
    thread = configurable.get("thread_id")
    try:
        scope = Scope(found.get("user_id"), found.get("agent_id"), found.get("run_id"))
    except errors.InvalidScope as error:
        raise errors.InvalidScope(f"the ids of this run cannot be used: {error}") from error
    return Place(scope, None if thread in (None, "") else str(thread), bool(_look(context, "incognito")))


def _look(source: object, name: str) -> object:
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
