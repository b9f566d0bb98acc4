"""Vectors that are missing: of an append, of what waits, and of everything for another model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from keepwell.errors import Conflict, EmbedderFailed, KeepwellError
from keepwell.providers.embedding import Embedder, unit
from keepwell.recall.chunks import chunks
from keepwell.storage.base import (
    Appended,
    DueText,
    FindDue,
    FindMissing,
    OpenSpace,
    PutVectors,
    Record,
    Space,
    SwitchSpace,
    VectorRow,
)
from keepwell.storage.embeddings import DueEntity, EntityVector, FindUnembedded, PutEntityVectors

BATCH = 256
_LONGEST = 500
"""So many characters of an entity's words are embedded."""
Progress = Callable[[int], None]


def embed_due(record: Record, space: Space, embedder: Embedder) -> int:
    """Make the vectors that are missing in the space in use; no connection is held meanwhile."""
    count = 0
    while True:
        due = record.read(FindDue(space.key, BATCH))
        if not due.spans:
            return count
        if not record.write(PutVectors(space.key, vectors_of(due.texts, embedder), due.spans)):
            return count
        count += len(due.texts)


def embed_appended(record: Record, space: Space, embedder: Embedder, appended: Appended) -> bool:
    """Make the vectors of an append right after its commit; False where the space is not in use any more."""
    written = appended.written
    texts = [
        DueText(key, appended.thread, message.seq or 0, message.text, appended.version)
        for key, message in written.items()
        if message.text.strip()
    ]
    places = sorted(message.seq or 0 for message in written.values())
    whole = bool(places) and places[-1] - places[0] + 1 == len(places)
    done: dict[UUID, tuple[int, int]] = {appended.thread: (places[0], places[-1])} if whole else {}
    return record.write(PutVectors(space.key, vectors_of(texts, embedder), done))


def embed_entities(record: Record, space: Space, embedder: Embedder) -> int:
    """Make the embeddings of entities that lack one in the space in use, and count them.

    One that changed while the model ran stays due.
    """
    count = 0
    while due := record.read(FindUnembedded(space.key)):
        kept = record.write(PutEntityVectors(space.key, entity_vectors_of(due, embedder)))
        count += kept
        if not kept:
            break
    return count


def entity_vectors_of(entities: Sequence[DueEntity], embedder: Embedder) -> tuple[EntityVector, ...]:
    """Give the unit vectors of entities, one of each: zeros for what means nothing, without asking the model."""
    import numpy as np  # noqa: PLC0415 - not at the import of keepwell

    texts = [one.text.encode("utf-8", "replace").decode()[:_LONGEST] for one in entities]
    readable = list(dict.fromkeys(text for text in texts if text.strip()))
    matrix = unit(_asked(embedder, readable), embedder.dimension, len(readable)) if readable else ()
    vectors = dict(zip(readable, matrix, strict=True))
    nothing = np.zeros(embedder.dimension, np.float32)
    return tuple(
        EntityVector(one.id, vectors.get(text, nothing), one.version) for one, text in zip(entities, texts, strict=True)
    )


def reembed(record: Record, embedder: Embedder, progress: Progress | None = None, *, entities: bool = False) -> int:
    """Build the embedder's space beside the one in use, switch to it, and give how many messages it took.

    ``entities``: those of the graph, too.
    """
    space = record.write(OpenSpace(embedder.model, embedder.dimension))
    count = 0
    while True:
        for texts in _missing(record, space):
            record.write(PutVectors(space.key, vectors_of(texts, embedder)))
            count += len(texts)
            if progress is not None:
                progress(count)
        if entities:
            _embed_entities_beside(record, space, embedder)
        try:
            record.write(SwitchSpace(space.key))
        except Conflict:
            continue  # messages came meanwhile: they are embedded in the next round
        if entities:
            embed_entities(record, space, embedder)  # what came meanwhile, and what has none
        return count


def _embed_entities_beside(record: Record, space: Space, embedder: Embedder) -> None:
    """Make what entities lack in a space that is not in use, page by page."""
    after = UUID(int=0)
    while due := record.read(FindUnembedded(space.key, after)):
        record.write(PutEntityVectors(space.key, entity_vectors_of(due, embedder)))
        after = due[-1].id


def _missing(record: Record, space: Space) -> Iterable[Sequence[DueText]]:
    after = 0
    while texts := record.read(FindMissing(space.key, after, BATCH)):
        yield texts
        after = texts[-1].message


def vectors_of(texts: Sequence[DueText], embedder: Embedder) -> tuple[VectorRow, ...]:
    """Give the unit vectors of texts, a row a chunk."""
    pieces = [(text, number, piece) for text in texts for number, piece in enumerate(chunks(text.text))]
    if not pieces:
        return ()
    # Lone surrogates, which no model can read, are replaced in what it is shown.
    readable = [piece.encode("utf-8", "replace").decode() for _, _, piece in pieces]
    matrix = unit(_asked(embedder, readable), embedder.dimension, len(pieces))
    return tuple(
        VectorRow(text.message, number, row, text.version)
        for (text, number, _), row in zip(pieces, matrix, strict=True)
    )


def _asked(embedder: Embedder, texts: list[str]) -> object:
    try:
        return embedder.embed(texts)
    except KeepwellError:
        raise
    except Exception as error:
        raise EmbedderFailed(f"the embedder {embedder.model!r} failed: {type(error).__name__}: {error}") from error
