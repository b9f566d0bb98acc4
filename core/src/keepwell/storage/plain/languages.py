"""The language of a tenant's terms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from keepwell.storage.languages import (
    FindOldTerms,
    NewTerms,
    NoteLanguage,
    OldTerms,
    PutTerms,
    ReadLanguage,
    SwitchLanguage,
)
from keepwell.storage.plain.tables import Tables

_MARK = re.compile(r" @([a-z_]+)$")
_ENGLISH = "english"


def read_language(tables: Tables, _: ReadLanguage) -> str | None:
    """Give the language that is noted."""
    return tables.language


def note_language(tables: Tables, change: NoteLanguage) -> str:
    """Note a language where there is none."""
    if tables.language is None:
        tables.language = _ENGLISH if tables.messages() or tables.standing() else change.language
    return tables.language


def switch_language(tables: Tables, change: SwitchLanguage) -> None:
    """Note another language."""
    tables.language = change.language


def find_old_terms(tables: Tables, query: FindOldTerms) -> tuple[OldTerms, ...]:
    """Give messages by key, then versions of facts, with terms of another language."""
    found = [
        OldTerms(key, entry.row.message.text, entry.row.content)
        for key, (_, entry) in sorted(tables.messages().items())
        if key > query.after >= 0 and _is_old(entry.row.terms, entry.row.signals, query.language)
    ]
    facts = sorted((one for one in tables.facts.values()), key=lambda one: one.row.number)
    found += [
        OldTerms(one.row.key, one.fact.text)
        for one in facts
        if (query.after >= 0 or one.row.key < query.after) and _is_old(one.row.terms, one.row.signals, query.language)
    ]
    return tuple(found[: query.limit])


def _is_old(terms: str, signals: str, language: str) -> bool:
    mark = _MARK.search(signals)
    return bool(terms) and (mark.group(1) if mark else _ENGLISH) != language


def put_terms(tables: Tables, change: PutTerms) -> int:
    """Give messages and facts other terms."""
    messages, facts = tables.messages(), {one.row.key: one for one in tables.facts.values()}
    count = 0
    for new in change.rows:
        if new.key < 0 and (held := facts.get(new.key)) is not None:
            tables.keep_fact(replace(held, row=replace(held.row, terms=new.terms, signals=new.signals)))
            count += 1
        elif new.key in messages:
            count += _put_message(tables, new)
    return count


def _put_message(tables: Tables, new: NewTerms) -> bool:
    talk, entry = tables.messages()[new.key]
    if new.version not in ("", entry.row.content):
        return False
    row = replace(entry.row, terms=new.terms, signals=new.signals)
    tables.keep(talk.noted([replace(entry, row=row)]))
    return True


LANGUAGE_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {NoteLanguage: note_language, SwitchLanguage: switch_language, PutTerms: put_terms}
)
LANGUAGE_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {ReadLanguage: read_language, FindOldTerms: find_old_terms}
)
