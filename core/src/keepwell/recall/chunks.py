"""Long texts in pieces, because one vector cannot speak for many paragraphs."""

from __future__ import annotations

import re

from keepwell.models.items import PARAGRAPH

MAX_CHUNK = 1200
"""Characters in a chunk: about 250 tokens, what small embedding models read."""
MAX_CHUNKS = 64
_BREAK = re.compile(r"(?<=[.!?。！？\n])\s+")  # noqa: RUF001 - full-width marks end sentences too


def chunks(text: str) -> list[str]:
    """Give the pieces of a text, cut between paragraphs (U+2029) and after sentences, ``MAX_CHUNKS`` at most."""
    if PARAGRAPH in text:
        return [piece for part in text.split(PARAGRAPH) if part.strip() for piece in chunks(part)][:MAX_CHUNKS] or [""]
    if len(text) <= MAX_CHUNK:
        return [text]
    pieces = [""]
    for sentence in _BREAK.split(text):
        for start in range(0, len(sentence), MAX_CHUNK):
            part = sentence[start : start + MAX_CHUNK]
            if pieces[-1] and len(pieces[-1]) + len(part) >= MAX_CHUNK:
                pieces.append(part)
            else:
                pieces[-1] = f"{pieces[-1]} {part}".strip()
    return pieces[:MAX_CHUNKS]
