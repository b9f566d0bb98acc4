"""How a thing of the record is said in Neo4j, and read back from there to be compared.

Pure: values in, values out. Times are instants in UTC; what is absent is left out, but an owner's absent id is ''.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from keepwell.storage.graph import Projected, ProjectedKind

Properties: TypeAlias = dict[str, Any]
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
_TIMES = frozenset(time for names in _KIND_TIMES.values() for time in names)
_OURS = {"tenant", "generation", "id", "stamp", "mark", "sum"}
_OWNER = ("user_id", "agent_id", "run_id")


@dataclass(frozen=True, slots=True)
class Place:
    """Whose graph it is, which generation of it, and when the state was read (:attr:`Outbox.stamp`)."""

    tenant: str
    generation: int
    stamp: int


@dataclass(slots=True)
class Said:
    """Rows for the statements that write a batch."""

    nodes: dict[Label, list[Properties]] = field(default_factory=dict)
    threads: list[Properties] = field(default_factory=list)
    grounds: dict[Label, list[Properties]] = field(default_factory=dict)
    edges: dict[tuple[EdgeType, Label, Label], list[Properties]] = field(default_factory=dict)
    gone: dict[ProjectedKind, list[str]] = field(default_factory=dict)


def say(batch: Sequence[Projected], place: Place) -> Said:
    """Give the rows that say a batch of things."""
    said = Said()
    for thing in batch:
        if thing.properties is None:
            said.gone.setdefault(thing.kind, []).append(thing.id)
            continue
        properties = {name: _writable(value) for name, value in thing.properties.items()}
        if thing.kind in LABELS:
            _say_node(said, thing, properties, place)
        else:
            _say_edge(said, thing, properties, place)
    return said


def checksum(kind: ProjectedKind, ident: str, properties: Mapping[str, Any]) -> int:
    """Give a number made of all that a thing says, by which a change of it in Neo4j is found."""
    told = {name: _plain(value) for name, value in properties.items() if value is not None}
    for name in ("messages", "facts"):
        if kind == "fact":
            told[name] = sorted(str(value) for value in told.get(name) or ())
    return zlib.crc32(json.dumps([kind, ident, told], sort_keys=True, default=str).encode())


def read_back(kind: ProjectedKind, said: Mapping[str, Any], ends: Mapping[str, Any]) -> Properties:
    """Give a thing's properties as the record has them, from what a node or relation says and what it leads to."""
    own = {name: _micros(value) if name in _TIMES else value for name, value in said.items() if name not in _OURS}
    told = {name: ends.get(name) for name in _ENDS[kind]}
    return {**own, **told}


def times(kind: ProjectedKind, name: str, row: str) -> str:
    """Give the part of a statement that makes instants of what :func:`say` gives for them.

    A driver's own form of an instant takes it three times as long to send as all the rest (70 of 105 microseconds).
    """
    return "".join(
        f", {name}.{time} = CASE WHEN {row}.{time} IS NULL THEN null "
        f"ELSE datetime({{epochSeconds: {row}.{time}[0], nanosecond: {row}.{time}[1]}}) END"
        for time in _KIND_TIMES[kind]
    )


def micros_of(at: dt.datetime) -> int:
    """Give an instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def _say_node(said: Said, thing: Projected, properties: Mapping[str, Any], place: Place) -> None:
    said.nodes.setdefault(LABELS[thing.kind], []).append(_row(thing, properties, place))
    owned = _owned(properties, place)
    if thing.kind == "message":
        thread = {**owned, "id": str(properties["thread"]), "thread_id": properties["thread_id"]}
        thread["generation"] = place.generation
        said.threads.append({"id": thing.id, "thread": thread, "edge": owned})
    for label, name in (("Message", "messages"), ("Fact", "facts")) if thing.kind == "fact" else ():
        rows = [{"from": thing.id, "to": str(to), "edge": owned} for to in properties.get(name) or ()]
        said.grounds.setdefault(label, []).extend(rows)  # type: ignore[arg-type]  # the two labels above


def _say_edge(said: Said, thing: Projected, properties: Mapping[str, Any], place: Place) -> None:
    edge = _row(thing, properties, place)
    if thing.kind == "relation":
        ends = str(properties["subject"]), str(properties["object"])
        said.edges.setdefault(("RELATED", "Entity", "Entity"), []).append(_between(*ends, edge))
        return
    message = properties.get("message")
    start: Label = "Fact" if message is None else "Message"
    ends = str(properties.get("fact") if message is None else message), str(properties["entity"])
    said.edges.setdefault(("MENTIONS", start, "Entity"), []).append(_between(*ends, edge))


def _between(start: str, end: str, edge: Properties) -> Properties:
    return {"from": start, "to": end, "edge": edge}


def _row(thing: Projected, properties: Mapping[str, Any], place: Place) -> Properties:
    elsewhere = _ENDS[thing.kind]
    told = {
        name: _parts(value) if name in _TIMES else value
        for name, value in properties.items()
        if value is not None and name not in elsewhere
    }
    sign = checksum(thing.kind, thing.id, properties)
    return {**told, **_owned(properties, place), "id": thing.id, "mark": thing.mark, "sum": sign}


def _owned(properties: Mapping[str, Any], place: Place) -> Properties:
    owner = {name: properties.get(name) or "" for name in _OWNER}
    return {**owner, "tenant": place.tenant, "generation": place.generation, "stamp": place.stamp}


def _writable(value: Any) -> Any:  # noqa: ANN401 - values of properties
    """Give a value as it can travel: a lone surrogate has no form in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return [_writable(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:  # noqa: ANN401 - values of properties
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return str(value)


def _parts(micros: int) -> list[int]:
    """Give an instant as seconds since 1970 and nanoseconds of the second."""
    seconds, rest = divmod(micros, 1_000_000)
    return [seconds, rest * 1000]


def _micros(value: Any) -> int | None:  # noqa: ANN401 - a driver's DateTime
    return None if value is None else micros_of(value.to_native())
