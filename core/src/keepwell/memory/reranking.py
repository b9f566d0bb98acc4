"""The second look at what a recall found, by a reranker: in time, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from keepwell.errors import RerankerFailed
from keepwell.memory.engine import Engine
from keepwell.memory.request import Request
from keepwell.models import Evidence, Message, Recollection
from keepwell.recall.tokens import Counter, count_message

LOOKED_AT = 40
"""How many of the best a reranker is given, or as many as were asked for."""
_log = logging.getLogger("keepwell.recall")
Found = tuple[Recollection, ...]


def widened(engine: Engine, request: Request) -> Request:
    """Give the request that finds what a reranker is to choose from; the same where there is none."""
    if engine.models.reranker is None:
        return request
    return replace(request, limit=max(request.limit, LOOKED_AT), max_tokens=None)


def reranked(
    engine: Engine, request: Request, found: Found, skipped: Mapping[str, str]
) -> tuple[Found, Mapping[str, str]]:
    """Give what was found in the reranker's order, within the request's bounds; in ours where it fails."""
    if engine.models.reranker is None or not found:
        return found, skipped
    try:
        kept = engine.rerank(request.readable, [one.text for one in found])
    except RerankerFailed as error:
        _log.warning("recall without the reranker: %s", error)
        return _bounded(found, request, engine.models.counter), {**skipped, "reranker": str(error)}
    ordered = tuple(
        replace(found[one.place], evidence={**found[one.place].evidence, "reranker": Evidence(rank, one.score or 0.0)})
        for rank, one in enumerate(kept, 1)
    )
    return _bounded(ordered, request, engine.models.counter), skipped


def _bounded(found: Found, request: Request, counter: Counter) -> Found:
    room = request.max_tokens
    for place, one in enumerate(found[: request.limit]):
        if room is not None:
            room -= count_message(one.item, counter) if isinstance(one.item, Message) else counter(one.text)
            if room < 0:
                return found[:place]
    return found[: request.limit]
