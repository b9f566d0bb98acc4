"""Whose memory: owners, and what a view may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from keepwell.errors import InvalidScope

MAX_ID_BYTES = 512
"""Longest id in UTF-8 bytes: four of them and a tenant fit into one B-tree entry (2,704 bytes)."""
MAX_TENANT_BYTES = 63


class Owner(NamedTuple):
    """The exact triple that a row belongs to; an absent id is ``''``."""

    user_id: str
    agent_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The owners that a view sees: all that agree with the ids given.

    Without a ``user_id`` it sees only rows that have none, unless ``across_users`` is set.

    Raises:
        InvalidScope: no id is given, or one is empty, too long or not storable text.
    """

    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    across_users: bool = False

    def __post_init__(self) -> None:
        """Refuse ids that name nobody, or everybody."""
        given = {"user_id": self.user_id, "agent_id": self.agent_id, "run_id": self.run_id}
        for name, value in given.items():
            if value is not None:
                check_id(value, name)
        if all(value is None for value in given.values()) and not self.across_users:
            raise InvalidScope("give at least one of user_id, agent_id and run_id")
        if self.across_users and self.user_id is not None:
            raise InvalidScope("across_users sees every user; do not give a user_id with it")

    @property
    def owner(self) -> Owner:
        """The exact triple that this scope writes as."""
        return Owner(self.user_id or "", self.agent_id or "", self.run_id or "")

    def covers(self, owner: Owner) -> bool:
        """Tell whether rows of that owner are seen here."""
        if not self.across_users and owner.user_id != (self.user_id or ""):
            return False
        return self.agent_id in (None, owner.agent_id) and self.run_id in (None, owner.run_id)


def check_id(value: object, name: str, limit: int = MAX_ID_BYTES) -> str:
    """Give the id back, if it is one that can be stored and found again.

    Raises:
        InvalidScope: it is not text, is blank, is longer than ``limit`` bytes, or holds NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise InvalidScope(f"{name} must be text, not {type(value).__name__}")
    if not value.strip():
        raise InvalidScope(f"{name} is empty; leave it out or give a real id")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidScope(f"{name} holds a lone surrogate, which no database can index") from None
    if "\x00" in value:
        raise InvalidScope(f"{name} holds a NUL character, which no database can index")
    if size > limit:
        raise InvalidScope(f"{name} has {size} bytes; at most {limit} can be indexed")
    return value
