r"""JSON that gives back what was put in.

``encode`` turns any Python value into one that JSON can hold, ``decode`` turns it back. What JSON has no
word for is tagged: ``{"$keepwell": [kind, ...]}``. Text is left alone: NUL and lone surrogates survive as
``\u`` escapes in a ``json`` column (not in ``jsonb``, see :func:`searchable`).

Kinds: ``float`` (NaN, infinities), ``bytes``, ``datetime``, ``date``, ``time``, ``timedelta``, ``decimal``,
``uuid``, ``tuple``, ``set``, ``frozenset``, ``dict`` (keys that are not text, or that look like the tag),
``object`` (a pydantic model or dataclass, by class name and fields) and ``repr`` (anything else: its text,
so that one odd value cannot lose a message).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from pydantic import BaseModel

from keepwell.errors import InvalidMessage

if TYPE_CHECKING:
    from keepwell.models.message import Json

TAG = "$keepwell"
_log = logging.getLogger("keepwell.codec")
_PLAIN = (str, int, bool, type(None))
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def dumps(value: object) -> str:
    """Give ASCII JSON text that :func:`loads` turns back into an equal value.

    Raises:
        InvalidMessage: the value nests deeper than Python can walk.
    """
    try:
        return _ENCODER.encode(encode(value))
    except RecursionError:
        raise InvalidMessage("the value is nested too deeply to be stored") from None


def loads(text: str) -> Any:  # noqa: ANN401 - the type is the caller's, it was theirs to begin with
    """Give the value that :func:`dumps` was given."""
    value = json.loads(text)
    return decode(value) if TAG in text else value


def encode(value: object) -> Json:
    """Give the value in words that JSON has."""
    kind = type(value)
    if kind in _PLAIN:
        return cast("Json", value)
    if kind is float:
        number = cast("float", value)
        return number if math.isfinite(number) else {TAG: ["float", repr(number)]}
    if kind is list:
        return [encode(item) for item in cast("list[object]", value)]
    if kind is dict:
        return _encode_dict(cast("dict[object, object]", value))
    return _encode_other(value)


def decode(value: Json) -> Any:  # noqa: ANN401 - see loads
    """Give back what :func:`encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and TAG in value:
        return _untag(cast("list[Any]", value[TAG]))
    return {key: decode(item) for key, item in value.items()}


def searchable(value: object) -> Json:
    """Give a copy for ``jsonb``, which is only searched: what it refuses is replaced, never read back."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {cast("str", searchable(str(key))): searchable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [searchable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, bool | int | float | None):
        return value
    return searchable(_plain_text(value))


def _plain_text(value: object) -> str:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _encode_dict(value: Mapping[object, object]) -> Json:
    if TAG not in value and all(type(key) is str for key in value):
        return {cast("str", key): encode(item) for key, item in value.items()}
    return {TAG: ["dict", [[encode(key), encode(item)] for key, item in value.items()]]}


def _sorted(members: AbstractSet[object]) -> Json:
    """Give the members of a set in one order, whatever their hashes are: equal values make equal text."""
    return sorted((encode(member) for member in members), key=lambda member: json.dumps(member, sort_keys=True))


_TAGGED: list[tuple[type | tuple[type, ...], str, Callable[[Any], Json]]] = [
    ((bytes, bytearray, memoryview), "bytes", lambda v: base64.b64encode(bytes(v)).decode("ascii")),
    (dt.datetime, "datetime", lambda v: v.isoformat()),
    (dt.date, "date", lambda v: v.isoformat()),
    (dt.time, "time", lambda v: v.isoformat()),
    (dt.timedelta, "timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    (Decimal, "decimal", str),
    (UUID, "uuid", str),
    (tuple, "tuple", lambda v: [encode(item) for item in v]),
    (frozenset, "frozenset", _sorted),
    (AbstractSet, "set", _sorted),
]


def _encode_other(value: object) -> Json:
    if isinstance(value, Enum):
        return encode(value.value)
    if isinstance(value, BaseModel):
        return {TAG: ["object", _name(value), _encode_dict(_fields(value))]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields: dict[object, object] = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {TAG: ["object", _name(value), _encode_dict(fields)]}
    for kinds, tag, write in _TAGGED:
        if isinstance(value, kinds):
            return {TAG: [tag, write(value)]}
    return _encode_subclass(value)


def _encode_subclass(value: object) -> Json:
    """Keep subclasses of plain values as the plain value, and anything unknown as its text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return encode(float(value))
    if isinstance(value, Mapping):
        return _encode_dict(value)
    if isinstance(value, Sequence):
        return [encode(item) for item in value]
    _log.warning("a value of type %s has no lossless form and is kept as text", _name(value))
    return {TAG: ["repr", _name(value), repr(value)]}


def _fields(value: BaseModel) -> dict[object, object]:
    return {
        name: field for fields in (value.__dict__, value.__pydantic_extra__ or {}) for name, field in fields.items()
    }


def _name(value: object) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


_READERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": base64.b64decode,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "timedelta": lambda v: dt.timedelta(*v),
    "decimal": Decimal,
    "uuid": UUID,
    "tuple": lambda v: tuple(decode(item) for item in v),
    "frozenset": lambda v: frozenset(decode(item) for item in v),
    "set": lambda v: {decode(item) for item in v},
    "dict": lambda v: {decode(key): decode(item) for key, item in v},
}


def _untag(tagged: list[Any]) -> Any:  # noqa: ANN401 - see loads
    kind = tagged[0]
    if kind == "object":
        return _revive(tagged[1], decode(tagged[2]))
    if kind == "repr":
        return tagged[2]
    reader = _READERS.get(kind)
    return reader(tagged[1]) if reader else {TAG: tagged}


def _revive(name: str, fields: dict[str, Any]) -> Any:  # noqa: ANN401 - see loads
    """Make the object again where its class is already imported; stored names never cause an import."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for step in qualname.split("."):
        found = getattr(found, step, None)
    if isinstance(found, type) and (issubclass(found, BaseModel) or dataclasses.is_dataclass(found)):
        try:
            return found(**fields)
        except (TypeError, ValueError):
            _log.warning("a stored %s no longer fits its class and is given as a dict", name)
    return fields
