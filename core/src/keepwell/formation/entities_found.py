"""What a detector finds: a name, where it stands, and what kind of thing it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keepwell.formation.names import tidy
from keepwell.models.graph import EntityType

Found = Literal["speaker", "link", "handle", "title", "name"]


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a text: ``text[start:end]`` is ``surface``.

    Both are 0 where the text does not have it: a speaker, or a name of the metadata. ``sure`` is False where it may as
    well be another word. ``role`` is what the words beside it say that it is to somebody, for telling two of one name
    apart.
    """

    start: int
    end: int
    surface: str
    type: EntityType
    found: Found
    sure: bool = True
    role: str = ""

    @property
    def name(self) -> str:
        """The name as it is kept."""
        return tidy(self.surface)
