"""Plans for the language of a tenant's terms."""

from __future__ import annotations

from keepwell.models.codec import loads
from keepwell.models.message import now
from keepwell.storage import languages
from keepwell.storage.postgres.rows import message_of
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls


def read(walls: Walls, query: languages.ReadLanguage) -> Plan[str | None]:  # noqa: ARG001 - it has no fields
    """Give the language that is noted."""
    rows = yield walls.step("read_language")
    return str(rows[0][0]) if rows else None


def note(walls: Walls, change: languages.NoteLanguage) -> Plan[str]:
    """Note a language where there is none, and give what is noted."""
    yield walls.step("note_language", language=change.language)
    ((name,),) = yield walls.step("read_language")
    return str(name)


def switch(walls: Walls, change: languages.SwitchLanguage) -> Plan[None]:
    """Note another language."""
    yield walls.step("switch_language", language=change.language)


def find(walls: Walls, query: languages.FindOldTerms) -> Plan[tuple[languages.OldTerms, ...]]:
    """Give messages, and after them versions of facts, with terms of another language."""
    found: list[languages.OldTerms] = []
    if query.after >= 0:
        rows = yield walls.step("old_terms", language=query.language, after=query.after, limit=query.limit)
        found = [
            languages.OldTerms(key, message_of((0, "", body, None, now())).text, version) for key, body, version in rows
        ]
    room = query.limit - len(found)
    if room > 0:
        rows = yield walls.step("old_fact_terms", language=query.language, after=max(0, -query.after), limit=room)
        found += [languages.OldTerms(-key, loads(body)["text"]) for key, body in rows]
    return tuple(found)


def put(walls: Walls, change: languages.PutTerms) -> Plan[int]:
    """Give messages and facts other terms; their threads or owners are held, so that nobody else writes them."""
    count = 0
    if messages := [row for row in change.rows if row.key > 0]:
        keys = [row.key for row in messages]
        yield walls.step("hold_threads_with", keys=keys)
        ((done,),) = yield walls.step(
            "put_terms",
            keys=keys,
            versions=[row.version for row in messages],
            terms=[row.terms for row in messages],
            signals=[row.signals for row in messages],
        )
        yield walls.step("post_terms", keys=keys)
        count += done
    if facts := [row for row in change.rows if row.key < 0]:
        keys = [-row.key for row in facts]
        yield walls.step("hold_owners_with", keys=keys)
        ((done,),) = yield walls.step(
            "put_fact_terms",
            keys=keys,
            terms=[row.terms for row in facts],
            signals=[row.signals for row in facts],
        )
        yield walls.step("post_fact_terms", keys=keys)
        count += done
    return count
