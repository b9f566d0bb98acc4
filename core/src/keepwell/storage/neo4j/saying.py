"""How a thing of the record is said in Neo4j, and read back from there to be compared.

Pure: values in, values out. Times are instants in UTC; what is absent is left out, but an owner's absent id is ''.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from keepwell.storage.graph import Projected, ProjectedKind

Properties: TypeAlias = dict[str, Any]
Row: TypeAlias = list[Any]
Label: TypeAlias = Literal["Entity", "Fact", "Message", "Thread"]
EdgeType: TypeAlias = Literal["RELATED", "MENTIONS"]

LABELS: Mapping[ProjectedKind, Label] = {"entity": "Entity", "fact": "Fact", "message": "Message"}
EDGES: Mapping[ProjectedKind, EdgeType] = {"relation": "RELATED", "mention": "MENTIONS"}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_KIND_TIMES: Mapping[ProjectedKind, tuple[str, ...]] = {
    "entity": ("first_seen", "last_seen"),
    "fact": ("valid_from", "valid_to", "recorded_at"),
    "message": ("created_at",),
    "relation": ("valid_from", "valid_to", "recorded_at"),
    "mention": ("at",),
}
_ENDS: Mapping[ProjectedKind, tuple[str, ...]] = {
    "entity": (),
    "fact": ("messages", "facts"),
    "message": ("thread", "thread_id"),
    "relation": ("subject", "object"),
    "mention": ("message", "fact", "entity"),
}
"""What is said by a relation to another node, not by a property."""
_NUMBERS = "embedding"
"""A list of hundreds of numbers, which is said as it is."""
_SAYS: Mapping[ProjectedKind, tuple[str, ...]] = {
    "entity": ("name", "type", "aliases", "version", "merged_into", _NUMBERS),
    "fact": ("number", "reopened", "text", "subject", "kind", "key", "version"),
    "message": ("seq", "message_id", "role", "speaker"),
    "relation": ("predicate", "version", "grounds"),
    "mention": ("start", "end", "surface", "fact_version"),
}
"""What is said by a property, beside instants and whose it is."""
_TIMES = frozenset(time for names in _KIND_TIMES.values() for time in names)
_OURS = {"tenant", "generation", "id", "stamp", "mark", "sum"}
_OWNER = ("user_id", "agent_id", "run_id")
_PLACE = "tenant: $tenant, generation: $generation, stamp: $stamp"
_GROUNDS: tuple[tuple[Label, str], ...] = (("Message", "messages"), ("Fact", "facts"))
_SORTED = json.JSONEncoder(sort_keys=True, default=str)


@dataclass(slots=True)
class Said:
    """Rows for the statements that write a batch: lists, whose places :func:`written` and :func:`owned` know.

    A map for each row would have its keys sent, and read, as often as there are rows; that took twice as long.
    ``lies`` are messages and their threads; ``grounds`` facts and what they rest on; both say whose they are.
    """

    nodes: dict[Label, list[Row]] = field(default_factory=dict)
    threads: dict[str, Row] = field(default_factory=dict)
    lies: list[Row] = field(default_factory=list)
    grounds: dict[Label, list[Row]] = field(default_factory=dict)
    edges: dict[tuple[EdgeType, Label, Label], list[Row]] = field(default_factory=dict)
    gone: dict[ProjectedKind, list[str]] = field(default_factory=dict)


def say(batch: Sequence[Projected]) -> Said:
    """Give the rows that say a batch of things."""
    said = Said()
    for thing in batch:
        if thing.properties is None:
            said.gone.setdefault(thing.kind, []).append(thing.id)
            continue
        properties = {name: value if name == _NUMBERS else _writable(value) for name, value in thing.properties.items()}
        if thing.kind in LABELS:
            _say_node(said, thing, properties)
        else:
            _say_edge(said, thing, properties)
    return said


def written(kind: ProjectedKind, after: int = 0) -> str:
    """Give the map, in Cypher, of all that a row of a kind says; so many places of the row come before it.

    Instants come as two numbers: a driver's own form of one takes it three times as long to send as all the rest.
    """
    told = ("id", "mark", "sum", *_OWNER, *_SAYS[kind])
    places = [f"{name}: row[{after + place}]" for place, name in enumerate(told)]
    first = after + len(told)
    places += [
        f"{name}: CASE WHEN row[{at}] IS NULL THEN null "
        f"ELSE datetime({{epochSeconds: row[{at}], nanosecond: row[{at + 1}]}}) END"
        for name, at in zip(_KIND_TIMES[kind], range(first, first + 2 * len(_KIND_TIMES[kind]), 2), strict=True)
    ]
    return f"{{{_PLACE}, {', '.join(places)}}}"


def owned(after: int) -> str:
    """Give the map, in Cypher, of what a row says that has nothing but an owner, after so many places."""
    return f"{{{_PLACE}, {', '.join(f'{name}: row[{after + place}]' for place, name in enumerate(_OWNER))}}}"


def checksum(kind: ProjectedKind, ident: str, properties: Mapping[str, Any]) -> int:
    """Give a number made of all that a thing says, by which a change of it in Neo4j is found."""
    told = {name: _plain(value) for name, value in properties.items() if value is not None and name != _NUMBERS}
    if properties.get(_NUMBERS) is not None:
        told[_NUMBERS] = _digest(properties[_NUMBERS])
    for name in ("messages", "facts"):
        if kind == "fact":
            told[name] = sorted(str(value) for value in told.get(name) or ())
    return zlib.crc32(_SORTED.encode([kind, ident, told]).encode())


def read_back(kind: ProjectedKind, said: Mapping[str, Any], ends: Mapping[str, Any]) -> Properties:
    """Give a thing's properties as the record has them, from what a node or relation says and what it leads to."""
    own = {name: _micros(value) if name in _TIMES else value for name, value in said.items() if name not in _OURS}
    told = {name: ends.get(name) for name in _ENDS[kind]}
    return {**own, **told}


def micros_of(at: dt.datetime) -> int:
    """Give an instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def _say_node(said: Said, thing: Projected, properties: Mapping[str, Any]) -> None:
    said.nodes.setdefault(LABELS[thing.kind], []).append(_row(thing, properties))
    owner = _owner(properties)
    if thing.kind == "message":
        thread = str(properties["thread"])
        said.threads[thread] = [thread, *owner, properties["thread_id"]]
        said.lies.append([thing.id, thread, *owner])
    elif thing.kind == "fact":
        for label, name in _GROUNDS:
            rows = [[thing.id, str(to), *owner] for to in properties.get(name) or ()]
            said.grounds.setdefault(label, []).extend(rows)


def _say_edge(said: Said, thing: Projected, properties: Mapping[str, Any]) -> None:
    told = _row(thing, properties)
    if thing.kind == "relation":
        ends = [str(properties["subject"]), str(properties["object"])]
        said.edges.setdefault(("RELATED", "Entity", "Entity"), []).append(ends + told)
        return
    message = properties.get("message")
    start: Label = "Fact" if message is None else "Message"
    ends = [str(properties.get("fact") if message is None else message), str(properties["entity"])]
    said.edges.setdefault(("MENTIONS", start, "Entity"), []).append(ends + told)


def _row(thing: Projected, properties: Mapping[str, Any]) -> Row:
    row: Row = [thing.id, thing.mark, checksum(thing.kind, thing.id, properties), *_owner(properties)]
    row += [properties.get(name) for name in _SAYS[thing.kind]]
    for name in _KIND_TIMES[thing.kind]:
        row += _parts(properties.get(name))
    return row


def _owner(properties: Mapping[str, Any]) -> list[str]:
    return [properties.get(name) or "" for name in _OWNER]


def _writable(value: Any) -> Any:  # noqa: ANN401 - values of properties
    """Give a value as it can travel: a lone surrogate has no form in UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return [_writable(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - values of properties
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return str(value)


def _digest(numbers: Any) -> str:  # noqa: ANN401 - whatever somebody may have put there
    """Give what tells one list of numbers from another; to write each of them out takes thirty times as long."""
    try:
        return str(zlib.crc32(array("d", numbers).tobytes()))
    except TypeError:
        return str(numbers)


def _parts(micros: int | None) -> tuple[int | None, int | None]:
    """Give an instant as seconds since 1970 and nanoseconds of the second."""
    if micros is None:
        return None, None
    seconds, rest = divmod(micros, 1_000_000)
    return seconds, rest * 1000


def _micros(value: Any) -> int | None:  # noqa: ANN401 - a driver's DateTime
    return None if value is None else micros_of(value.to_native())
