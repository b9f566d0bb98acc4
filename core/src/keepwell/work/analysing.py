"""Terms by the rules of another language: of everything that a tenant holds."""

from __future__ import annotations

from collections.abc import Callable

from keepwell.recall.analysis import analysed
from keepwell.storage.base import Record
from keepwell.storage.languages import FindOldTerms, NewTerms, PutTerms, SwitchLanguage

_BATCH = 500


def reanalyse(record: Record, language: str, progress: Callable[[int], None] | None = None) -> int:
    """Make the terms of messages and facts by the rules of a language, note it, and count those that were of another.

    It can be broken off and begun again: what is done is marked with the language. Messages that were written by other
    rules while it ran are found in a last round.
    """
    record.write(SwitchLanguage(language))
    count = 0
    while done := _round(record, language, count, progress):
        count += done
    return count


def _round(record: Record, language: str, before: int, progress: Callable[[int], None] | None) -> int:
    count = after = 0
    while texts := record.read(FindOldTerms(language, after, _BATCH)):
        rows = tuple(NewTerms(old.key, old.version, *analysed(old.text, language)) for old in texts)
        count += record.write(PutTerms(rows))
        after = texts[-1].key
        if progress is not None:
            progress(before + count)
    return count
