"""The seam's operations on the language by whose rules a tenant's terms are made."""

from __future__ import annotations

from dataclasses import dataclass

from keepwell.storage.base import Read, Write


@dataclass(frozen=True, slots=True)
class ReadLanguage(Read[str | None]):
    """The language that is noted for the tenant; None before its first use."""


@dataclass(frozen=True, slots=True)
class NoteLanguage(Write[str]):
    """Note a language for a tenant that has none, and give the one that is noted now.

    A tenant that has none and holds something already was written by the rules of English.
    """

    language: str


@dataclass(frozen=True, slots=True)
class SwitchLanguage(Write[None]):
    """Note another language for the tenant."""

    language: str


@dataclass(frozen=True, slots=True)
class OldTerms:
    """A text whose terms were made by the rules of another language; facts have keys below 0."""

    key: int
    text: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class FindOldTerms(Read[tuple[OldTerms, ...]]):
    """Messages by key, then versions of facts, whose terms are of another language than this; after a key."""

    language: str
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class NewTerms:
    """Terms and signals for a text.

    ``version`` is that of the message which they were made from; ``''`` is not compared.
    """

    key: int
    version: str
    terms: str
    signals: str


@dataclass(frozen=True, slots=True)
class PutTerms(Write[int]):
    """Give messages and facts other terms, with postings where there were some; count them.

    A message that was written anew meanwhile is left as it is. All else that is kept of them stays.
    """

    rows: tuple[NewTerms, ...]
