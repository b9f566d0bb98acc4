"""What the work on facts is done with: the memory's models, and its own recall to find what is known already."""

from __future__ import annotations

import logging

from keepwell.errors import EmbedderFailed, KeepwellError
from keepwell.memory.engine import Engine
from keepwell.memory.projection import projector_of
from keepwell.memory.request import Request
from keepwell.models import Fact, Owner
from keepwell.storage.base import Space
from keepwell.work.tools import NEAREST, Tools, scope_of

_log = logging.getLogger("keepwell.memory")


def tools_of(engine: Engine) -> Tools:
    """Give what forms facts in this engine's record."""
    return Tools(
        engine.record,
        engine.models.language,
        engine.models.embedder,
        _space(engine),
        engine.secret(),
        engine.habits.formation,
        lambda owner, statements: [remembered(engine, owner, statement) for statement in statements],
        language=engine.language,
        projector=projector_of(engine),
    )


def remembered(engine: Engine, owner: Owner, statement: str) -> list[Fact]:
    """Give the owner's standing facts that are nearest to a statement, by the recall that answers questions."""
    from keepwell.memory.recalling import recall  # noqa: PLC0415 - numpy, not at the import of keepwell

    if not statement.strip():
        return []
    # More than are wanted, because the view that writes as an owner sees other owners, too.
    request = Request(statement, 4 * NEAREST, kinds=("fact",), neighbours=0)
    vector = None
    if engine.models.embedder is not None:
        try:
            vector = engine.question_vector(request.readable)
        except KeepwellError as error:
            _log.info("facts are compared without vectors: %s", error)
    found = recall(engine, scope_of(owner), request, vector, {})
    mine = [one.fact for one in found if one.owner == owner]
    return mine[:NEAREST]


def _space(engine: Engine) -> Space | None:
    try:
        return engine.space()
    except EmbedderFailed as error:  # messages and facts are kept all the same; their vectors stay due
        _log.warning("vectors wait: %s", error)
        return None
