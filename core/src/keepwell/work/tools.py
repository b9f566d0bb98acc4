"""What work is done with: the record, the models, and how it is to be done."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from keepwell.errors import KeepwellError
from keepwell.formation.options import FormationSettings
from keepwell.formation.settle import Draft, Edit, hashes
from keepwell.models import Fact, Owner, Scope
from keepwell.models.items import is_item
from keepwell.providers.embedding import Embedder
from keepwell.providers.language import LanguageModel
from keepwell.recall.analysis import ENGLISH, Language, analyse, analysed
from keepwell.storage.base import DueText, Record, Space
from keepwell.storage.facts import ListFacts
from keepwell.work.embedding import vectors_of
from keepwell.work.projecting import Projector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Remembered = Callable[[Owner, Sequence[str]], list[list[Fact]]]
_log = logging.getLogger("keepwell.work")
_NOWHERE = UUID(int=0)
NEAREST = 5
"""How many facts are held against a new statement."""


@dataclass(frozen=True, slots=True)
class Tools:
    """One tenant's record, with what is needed to do its work.

    ``remembered`` gives, for each statement, the owner's standing facts nearest to it. ``secret`` is the tenant's,
    under which rejections are hashed. ``actor`` is who the changes are said to be made by.
    """

    record: Record
    language_model: LanguageModel | None
    embedder: Embedder | None
    space: Space | None
    secret: bytes
    settings: FormationSettings
    remembered: Remembered
    actor: str = field(default="formation")
    language: Language = ENGLISH
    projector: Projector | None = None

    @property
    def space_key(self) -> int | None:
        """The space of the vectors that come with facts."""
        return None if self.space is None else self.space.key


def scope_of(owner: Owner) -> Scope:
    """Give the view that writes as an owner."""
    return Scope(owner.user_id or None, owner.agent_id or None, owner.run_id or None)


def filled(tools: Tools, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Give edits whose drafts have what the record keeps of a fact beside its words: terms, hashes, vectors.

    Where the embedder fails there are no vectors: embedding is due work then.
    """
    given = tuple(edits)
    drafts = [edit.draft for edit in given if edit.draft is not None and edit.kind != "NONE"]
    vectors = _vectors(tools, [draft.text for draft in drafts])
    ready = {
        id(draft): completed(draft, tools.secret, rows, tools.language)
        for draft, rows in zip(drafts, vectors, strict=True)
    }
    return tuple(edit if id(edit.draft) not in ready else replace(edit, draft=ready[id(edit.draft)]) for edit in given)


def completed(
    draft: Draft, secret: bytes, vectors: tuple[NDArray[np.float32], ...], language: Language = ENGLISH
) -> Draft:
    """Give a draft with all that the record keeps of a fact beside its words."""
    terms, told = analysed(draft.text, language)
    return replace(
        draft,
        terms=terms,
        signals=told,
        hashes=hashes(secret, draft.text, draft.key),
        vectors=vectors,
    )


def _vectors(tools: Tools, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], ...]]:
    rows: list[tuple[NDArray[np.float32], ...]] = [() for _ in texts]
    if tools.embedder is None or tools.space is None or not texts:
        return rows
    due = [DueText(number, _NOWHERE, 0, text) for number, text in enumerate(texts)]
    try:
        for row in vectors_of(due, tools.embedder):
            rows[row.message] = (*rows[row.message], row.vector)
    except KeepwellError:
        _log.warning("%d facts wait for their vectors", len(texts), exc_info=True)
        return [() for _ in texts]
    return rows


def remembered_by_words(record: Record) -> Remembered:
    """Give a function that finds an owner's facts by the words they share with a statement.

    It needs neither model nor recall, and reads all facts of the owner: for tests, and for small stores.
    """

    def remembered(owner: Owner, statements: Sequence[str]) -> list[list[Fact]]:
        known = [(fact, set(analyse(f"{fact.text} {fact.subject}").split())) for fact in standing(record, owner)]
        commonness = Counter(term for _, terms in known for term in terms)
        return [_nearest(set(analyse(statement).split()), known, commonness) for statement in statements]

    return remembered


def _nearest(wanted: set[str], known: Sequence[tuple[Fact, set[str]]], commonness: Mapping[str, int]) -> list[Fact]:
    scored = [(sum(1 / commonness[term] for term in wanted & terms), fact) for fact, terms in known]
    near = sorted((pair for pair in scored if pair[0]), key=lambda pair: pair[0], reverse=True)
    return [fact for _, fact in near[:NEAREST]]


def standing(record: Record, owner: Owner) -> list[Fact]:
    """Give all standing facts of exactly this owner but items of stores, which no model changes; newest first."""
    found: list[Fact] = []
    after: str | None = None
    while True:
        page = record.read(ListFacts(scope_of(owner), after=after, limit=500))
        found += [fact for fact in page if fact.owner == owner and not is_item(fact.kind, fact.key)]
        after = page.next
        if after is None:
            return found
