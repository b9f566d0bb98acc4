"""Filters on the fields of an item's value: conditions that every store evaluates in the same way.

Values are compared by type: numbers with numbers, text with text, truth values with truth values. A date is compared
with texts that are written as dates (ISO 8601), those with an offset from UTC apart from those without one. What is of
another type, or not there, does not fit; ``None`` fits what is not there.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from keepwell.errors import InvalidQuery
from keepwell.models.codec import searchable

Comparison = Literal["eq", "gt", "gte", "lt", "lte"]
Kind = Literal["object", "array"]
Scalar: TypeAlias = str | int | float | bool | dt.date | None
Path: TypeAlias = tuple[str | int, ...]
_NEGATIVE: Final = {"$ne": "$eq", "$nin": "$in"}


@dataclass(frozen=True, slots=True)
class Compare:
    """What is there compares so with the value; ``eq`` with None: nothing is there, or null."""

    path: Path
    comparison: Comparison
    value: Scalar


@dataclass(frozen=True, slots=True)
class Has:
    """Something is there, null or not; with a kind: something of it."""

    path: Path
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Every:
    """All of the conditions hold; of none it does."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the conditions holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    part: Filter


Filter: TypeAlias = Compare | Has | Every | Either | Not


def filter_of(given: Mapping[str, Any]) -> Filter:
    """Give the filter that a mapping of fields says.

    A field is compared with a value, or by operators: ``$eq $ne $gt $gte $lt $lte $in $nin $exists $not``. A mapping
    without operators is about the fields of that field. ``$and``, ``$or`` and ``$not`` stand beside fields. A field
    with dots in its name is one of that name, or else the nested one.

    Raises:
        InvalidQuery: an operator is not known, or its operand is of no use.

    Example:
        >>> filter_of({"age": {"$gte": 18}})
        Compare(path=('age',), comparison='gte', value=18)
    """
    return _fields((), given)


def _fields(path: Path, given: object) -> Filter:
    if not isinstance(given, Mapping):
        raise InvalidQuery(f"a filter is a mapping of fields, not {type(given).__name__}")
    return _every([_entry(path, name, wanted) for name, wanted in given.items()])


def _entry(path: Path, name: object, wanted: object) -> Filter:
    if not isinstance(name, str):
        raise InvalidQuery(f"a filter names fields by text, not by {name!r}")
    if name == "$and":
        return Every(tuple(_fields(path, one) for one in _many(name, wanted)))
    if name == "$or":
        return Either(tuple(_fields(path, one) for one in _many(name, wanted)))
    if name == "$not":
        return Not(_fields(path, wanted))
    if name.startswith("$"):
        raise _unknown(name)
    field = cast("str", searchable(name))
    plain = _field((*path, field), wanted)
    if "." not in field:
        return plain
    here = Has((*path, field))
    nested = _field((*path, *field.split(".")), wanted)
    return Either((Every((here, plain)), Every((Not(here), nested))))


def _field(path: Path, wanted: object) -> Filter:
    if isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted):
        return _every([_operator(path, str(name), operand) for name, operand in wanted.items()])
    return _equal(path, wanted)


def _operator(path: Path, name: str, operand: object) -> Filter:
    if name in _NEGATIVE:
        return Not(_operator(path, _NEGATIVE[name], operand))
    if name in ("$gt", "$gte", "$lt", "$lte"):
        return _ordered(path, cast("Comparison", name[1:]), operand)
    write = _OPERATORS.get(name)
    if write is None:
        raise _unknown(name)
    return write(path, operand)


def _all(path: Path, operand: object) -> Filter:
    return Every(tuple(_field(path, one) for one in _many("$and", operand)))


def _any(path: Path, operand: object) -> Filter:
    return Either(tuple(_field(path, one) for one in _many("$or", operand)))


def _one_of(path: Path, operand: object) -> Filter:
    return Either(tuple(_equal(path, one) for one in _many("$in", operand)))


def _exists(path: Path, operand: object) -> Filter:
    return Has(path) if operand else Not(Has(path))


def _ordered(path: Path, comparison: Comparison, operand: object) -> Filter:
    if operand is None or not isinstance(operand, get_args(Scalar)):
        raise InvalidQuery(f"${comparison} compares with a number, a text, a truth value or a date, not {operand!r}")
    value = cast("Scalar", operand)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidQuery(f"${comparison} cannot compare with {value}")
    return Compare(path, comparison, _scalar(value))


def _equal(path: Path, wanted: object) -> Filter:
    if isinstance(wanted, Mapping):
        return Every((Has(path, "object"), *(_entry(path, name, one) for name, one in wanted.items())))
    if isinstance(wanted, list | tuple):
        parts = (_equal((*path, place), one) for place, one in enumerate(wanted))
        return Every((Has(path, "array"), *parts, Not(Has((*path, len(wanted))))))
    if isinstance(wanted, dt.date):
        return Compare(path, "eq", wanted)
    found = searchable(wanted)
    return Compare(path, "eq", found) if isinstance(found, str | int | float | bool | None) else _equal(path, found)


_OPERATORS: Final[Mapping[str, Callable[[Path, object], Filter]]] = {
    "$eq": _equal,
    "$in": _one_of,
    "$exists": _exists,
    "$not": lambda path, operand: Not(_field(path, operand)),
    "$and": _all,
    "$or": _any,
}


def _scalar(value: Scalar) -> Scalar:
    return cast("str", searchable(value)) if isinstance(value, str) else value


def _every(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def _many(name: str, given: object) -> list[Any]:
    if isinstance(given, list | tuple | set | frozenset):
        return list(given)
    raise InvalidQuery(f"{name} takes a list, not {type(given).__name__}")


def _unknown(name: str) -> InvalidQuery:
    return InvalidQuery(f"{name} is no operator that a filter knows")
