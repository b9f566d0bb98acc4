"""What fits a filter, in plain Python."""

from __future__ import annotations

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from keepwell.models.filters import Compare, Comparison, Either, Every, Filter, Has, Not, Path, Scalar

_SIGNS: Final[Mapping[Comparison, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_NOTHING: Final = object()
_OFFSET = re.compile(r"[T ].*([+-][0-9][0-9](:?[0-9][0-9])?|Z)$")
_DATE = re.compile(r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d([.]\d+)?([+-]\d\d(:?\d\d)?|Z)?)?$")


def fits(given: Filter, value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a value, as ``jsonb`` has it, fits a filter."""
    match given:
        case Every(parts):
            return all(fits(part, value) for part in parts)
        case Either(parts):
            return any(fits(part, value) for part in parts)
        case Not(part):
            return not fits(part, value)
        case Has(path, kind):
            there = _at(value, path)
            return there is not _NOTHING and (kind is None or isinstance(there, dict if kind == "object" else list))
        case Compare(path, comparison, wanted):
            return _compares(_at(value, path), comparison, wanted)
    assert_never(given)


def _at(value: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return _NOTHING
        elif not isinstance(value, dict) or step not in value:
            return _NOTHING
        value = value[step]
    return value


def _compares(there: Any, comparison: Comparison, wanted: Scalar) -> bool:  # noqa: ANN401 - any JSON value
    if wanted is None:
        return there is None or there is _NOTHING
    if isinstance(wanted, dt.date):
        zoned = isinstance(wanted, dt.datetime) and wanted.utcoffset() is not None
        found = _date(there)
        wanted = _moment(wanted)
        return found is not None and (found.tzinfo is not None) is zoned and _SIGNS[comparison](found, wanted)
    return _kind(there) == _kind(wanted) and _SIGNS[comparison](there, wanted)


def _date(there: object) -> dt.datetime | None:
    if not isinstance(there, str) or not _DATE.match(there):
        return None
    try:
        found = dt.datetime.fromisoformat(there)
    except ValueError:
        return None
    return found if bool(_OFFSET.search(there)) is (found.tzinfo is not None) else None


def _moment(date: dt.date) -> dt.datetime:
    return date if isinstance(date, dt.datetime) else dt.datetime(date.year, date.month, date.day)  # noqa: DTZ001 - a date has no zone


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"
