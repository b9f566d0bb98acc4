"""Filters as SQL/JSON paths: operands are variables of the path and names are quoted, so that neither can say more.

Paths are strict, because a lax one looks into arrays by itself. What a strict path does not find makes a comparison
unknown, which counts as false where it stands, and under a negation has to be asked for.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from keepwell.models.filters import Compare, Comparison, Either, Every, Filter, Has, Not, Path

_SIGNS: Final[dict[Comparison, str]] = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_TRUE, _FALSE = "(1 == 1)", "(1 == 0)"
_OFFSET = '"[T ].*([+-][0-9][0-9](:?[0-9][0-9])?|Z)$"'
_ZULU = (('"[.][0-9]+Z$"', 'yyyy-mm-dd"T"HH24:MI:SS.US"Z"'), ('"[0-9]:[0-9][0-9]Z$"', 'yyyy-mm-dd"T"HH24:MI:SS"Z"'))
"""Texts that end in Z, which ``datetime()`` reads only by a template, with and without fractions of a second."""


def jsonpath(given: Filter) -> tuple[str, str]:
    """Give the path that tells whether a value fits a filter, and its variables as JSON."""
    writer = _Writer()
    path = f"strict {writer.write(given, holds=True)}"
    return path, json.dumps(writer.operands)


@dataclass(slots=True)
class _Writer:
    """Writes conditions, and keeps their operands."""

    operands: dict[str, Any] = field(default_factory=dict)

    def write(self, part: Filter, *, holds: bool) -> str:
        match part:
            case Not(inner):
                return self.write(inner, holds=not holds)
            case Every(parts) | Either(parts):
                every = isinstance(part, Every) is holds
                written = [self.write(one, holds=holds) for one in parts]
                empty = _TRUE if every else _FALSE
                return f"({(' && ' if every else ' || ').join(written)})" if written else empty
            case Has(path, kind):
                there = f"exists({_at(path)})"
                return _is(there if kind is None else f'{_at(path)}.type() == "{kind}"', holds=holds)
            case Compare():
                return self._compare(part, holds=holds)
        assert_never(part)

    def _compare(self, part: Compare, *, holds: bool) -> str:
        value, at = part.value, _at(part.path)
        if value is None:
            there = _is(f"exists({at})", holds=not holds)
            null = _is(f"{at} == null", holds=holds)
            return f"({there} || {null})" if holds else f"({there} && {null})"
        if isinstance(value, dt.date):
            return self._dated(at, part.comparison, value, holds=holds)
        return _is(f"{at} {_SIGNS[part.comparison]} {self._operand(value)}", holds=holds)

    def _dated(self, at: str, comparison: Comparison, value: dt.date, *, holds: bool) -> str:
        sign = _SIGNS[comparison]
        zoned = isinstance(value, dt.datetime) and value.utcoffset() is not None
        operand = self._operand(value.isoformat())
        like = f"{at} like_regex {_OFFSET}"
        ways = [f"({like if zoned else _is(like, holds=False)} && {at}.datetime() {sign} {operand}.datetime())"]
        if zoned and isinstance(value, dt.datetime):
            here = self._operand(value.astimezone(dt.UTC).replace(tzinfo=None).isoformat())
            ways += [
                f"({at} like_regex {ends} && {at}.datetime({json.dumps(template)}) {sign} {here}.datetime())"
                for ends, template in _ZULU
            ]
        return f"({(' || ' if holds else ' && ').join(_is(way, holds=holds) for way in ways)})"

    def _operand(self, value: object) -> str:
        name = f"v{len(self.operands)}"
        self.operands[name] = value
        return f"${name}"


def _is(condition: str, *, holds: bool) -> str:
    return f"({condition})" if holds else f"(!({condition}) || (({condition}) is unknown))"


def _at(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{json.dumps(step, ensure_ascii=False)}" for step in path)
    return "$" + "".join(steps)
