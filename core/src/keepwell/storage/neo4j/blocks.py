"""The projection's Cypher: named blocks of files, with labels, types and walls put in from names of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import LiteralString

_BLOCK = re.compile(r"^// name: (\w+)\n((?://[^\n]*\n)+)", re.MULTILINE)
_SCOPE = re.compile(r"@scope\((\w+)\)")
_FILES = ("projection", "projected")


@cache
def blocks() -> Mapping[str, LiteralString]:
    """Give the statements by name.

    Raises:
        ValueError: a name stands twice.
    """
    found: dict[str, LiteralString] = {}
    for file in _FILES:
        text = (files("keepwell.storage.neo4j") / "cypher" / f"{file}.cypher").read_text("utf-8")
        parts = _BLOCK.split(text)[1:]
        for name, body in zip(parts[::3], parts[2::3], strict=True):
            if name in found:
                raise ValueError(f"{name} stands twice in the projection's Cypher")
            found[name] = body.strip()
    return found


@cache
def block(name: str, **words: str) -> LiteralString:
    """Give a statement with its ``@WORD`` put in: a label or a type, which no parameter can be. Values never are."""
    text = blocks()[name]
    for word, value in words.items():
        text = text.replace(f"@{word}", value)
    return text


@cache
def walled(name: str, ids: tuple[str, ...]) -> LiteralString:
    """Give a statement with the walls written in: ``@scope(a)`` holds ``a`` to the tenant, and to these ids."""

    def wall(found: re.Match[str]) -> str:
        return " AND ".join(f"{found[1]}.{ident} = ${ident}" for ident in ("tenant", *ids))

    return _SCOPE.sub(wall, blocks()[name])
