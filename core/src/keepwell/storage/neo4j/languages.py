"""The language of a tenant's terms; which one a text's terms are of stands at the end of its signals."""

from __future__ import annotations

from typing import Any, Final

from keepwell.storage.languages import (
    FindOldTerms,
    NoteLanguage,
    OldTerms,
    PutTerms,
    ReadLanguage,
    SwitchLanguage,
)
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.work import Work, beginnings

_ENGLISH: Final = "english"


def read_language(work: Work, _: ReadLanguage) -> str | None:
    """Give the language that is noted."""
    found = work.rows("tenant")
    return found[0]["tenant"].get("language") if found else None


def note_language(work: Work, change: NoteLanguage) -> str:
    """Note a language where there is none."""
    there = read_language(work, ReadLanguage())
    if there is not None:
        return there
    work.rows("make_tenant", **beginnings())
    (row,) = work.rows("note_language", language=change.language, old=_ENGLISH)
    return str(row["language"])


def switch_language(work: Work, change: SwitchLanguage) -> None:
    """Note another language."""
    work.rows("make_tenant", **beginnings())
    work.rows("switch_language", language=change.language)


def find_old_terms(work: Work, query: FindOldTerms) -> tuple[OldTerms, ...]:
    """Give messages by key, then versions of facts, with terms of another language."""
    asked: dict[str, Any] = {"mark": f" @{query.language}", "unmarked": query.language == _ENGLISH}
    found: list[OldTerms] = []
    if query.after >= 0:
        rows = work.rows("old_terms_of_messages", after=query.after, limit=query.limit, **asked)
        found = [OldTerms(row["key"], nodes.message_out(row["body"]).text, str(row["rev"])) for row in rows]
    if len(found) < query.limit:
        bounds = {"after": max(0, -query.after), "limit": query.limit - len(found)}
        rows = work.rows("old_terms_of_facts", **bounds, **asked)
        found += [OldTerms(-row["number"], nodes.text_out(row["text"])) for row in rows]
    return tuple(found)


def put_terms(work: Work, change: PutTerms) -> int:
    """Give messages and facts other terms."""
    work.take_rev()
    rows: list[dict[str, Any]] = [
        {
            "key": row.key,
            "version": row.version,
            "said": {
                "terms": nodes.text_in(row.terms),
                "length": len(row.terms.split()),
                "signals": nodes.text_in(row.signals),
                "rev": work.rev,
            },
        }
        for row in change.rows
    ]
    messages = work.each("put_terms_of_messages", "rows", [row for row in rows if row["key"] > 0])
    facts = work.each("put_terms_of_facts", "rows", [row for row in rows if row["key"] < 0])
    return len(messages) + len(facts)
