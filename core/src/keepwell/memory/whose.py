"""Whose the items of a namespace are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from keepwell.errors import InvalidScope, UsageError
from keepwell.models import Owner, Scope
from keepwell.models.items import NOBODY, OWN, SHARED, Tree, unlabel

Namespace: TypeAlias = tuple[str, ...]
OwnerOf: TypeAlias = Namespace | Callable[[Namespace], Mapping[str, str] | None]
"""Whose the items of a namespace are: a template, or a function that gives ids, or None for nobody's."""
_IDS: Final = ("user_id", "agent_id", "run_id")
_PLACEHOLDER = re.compile(r"^([^{}]*)\{(user_id|agent_id|run_id)\}([^{}]*)$")


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose the items are: one owner's, or those that their namespace names."""

    owner: Owner | None = None
    template: tuple[tuple[str, str, str], ...] = ()
    """Per label: what it begins with, which id it names (``''``: none), what it ends with."""
    function: Callable[[Namespace], Mapping[str, str] | None] | None = None

    @classmethod
    def of(cls, owner: OwnerOf | None, ids: Mapping[str, str | None]) -> Whose:
        """Give whose they are, as it was said where the store is made.

        Raises:
            UsageError: both or neither was said, or the template names no id.
        """
        given = any(value is not None for value in ids.values())
        if given is (owner is not None):
            raise UsageError("say whose the items are: by owner=, or by user_id=, agent_id= and run_id=")
        if owner is None:
            return cls(Scope(ids.get("user_id"), ids.get("agent_id"), ids.get("run_id")).owner)
        if callable(owner):
            return cls(function=owner)
        labels = tuple(_part(label) for label in owner)
        if not any(name for _, name, _ in labels):
            raise UsageError(f"owner={owner!r} names no {{user_id}}, {{agent_id}} or {{run_id}}")
        return cls(template=labels)

    @property
    def tree(self) -> Tree:
        """The tree of namespaces that the items lie in."""
        return SHARED if self.owner is None else OWN

    def owner_of(self, namespace: Namespace) -> Owner:
        """Give whose the items of a namespace are.

        Raises:
            InvalidScope: an id that it names cannot be stored.
        """
        if self.owner is not None:
            return self.owner
        ids = self.function(namespace) if self.function is not None else self._named(namespace)
        if not ids:
            return NOBODY
        if unknown := set(ids) - set(_IDS):
            raise InvalidScope(f"owner= gave {sorted(unknown)}; an owner has user_id, agent_id and run_id")
        return Scope(ids.get("user_id") or None, ids.get("agent_id") or None, ids.get("run_id") or None).owner

    def owner_below(self, namespace: Namespace) -> Owner | None:
        """Give whose all items below a namespace are; None where that is not the same for all."""
        if self.owner is not None or not self.template:
            return self.owner
        if len(namespace) < len(self.template) and self._fits(namespace) is not None:
            return None
        return self.owner_of(namespace)

    def _named(self, namespace: Namespace) -> dict[str, str] | None:
        return self._fits(namespace) if len(namespace) >= len(self.template) else None

    def _fits(self, namespace: Namespace) -> dict[str, str] | None:
        """Give the ids that the labels name, as far as there are labels; None where one does not fit."""
        ids: dict[str, str] = {}
        for (begin, name, end), label in zip(self.template, namespace, strict=False):
            middle = label[len(begin) : len(label) - len(end)]
            if f"{begin}{middle}{end}" != label or (middle if not name else not middle):
                return None
            if name:
                ids[name] = unlabel(middle)
        return ids


def _part(label: str) -> tuple[str, str, str]:
    found = _PLACEHOLDER.match(label)
    if found is None:
        if "{" in label or "}" in label:
            raise UsageError(f"{label!r} names no id that an owner has: {{user_id}}, {{agent_id}} and {{run_id}}")
        return label, "", ""
    return found[1], found[2], found[3]
