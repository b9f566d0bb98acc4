"""Reading what ``export`` wrote: JSON lines that hold all that was kept about somebody."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast, get_args
from uuid import UUID

from keepwell.errors import ImportFormatError, KeepwellError
from keepwell.importing.kept_graph import KINDS, KeptGraph, read_graph
from keepwell.models import ChangeKind, Fact, Message, Owner, Trust, codec
from keepwell.models.message import utc

VERSION = 1
_WHAT = "this is not what keepwell's export writes"


@dataclass(frozen=True, slots=True)
class KeptThread:
    """A conversation; its messages follow."""

    owner: Owner
    id: str
    title: str | None
    metadata: Mapping[str, Any]
    seen_to: int = 0
    """Up to this ``seq`` its messages were looked through for names."""


@dataclass(frozen=True, slots=True)
class KeptSource:
    """What a fact rests on, named so that every store can find it: a message of a thread, or a version of a fact."""

    owner: Owner | None = None
    thread: str = ""
    message: str | None = None
    start: int = 0
    end: int = 0
    fact: UUID | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class KeptFact:
    """One version of a fact."""

    fact: Fact
    sources: tuple[KeptSource, ...]


@dataclass(frozen=True, slots=True)
class KeptChange:
    """One row of history; ``before`` and ``after`` are versions of its fact."""

    id: UUID
    kind: ChangeKind
    fact: UUID
    owner: Owner
    before: int | None
    after: int | None
    reason: str
    at: dt.datetime
    actor: str
    batch: UUID
    cause: UUID | None
    sources: tuple[KeptSource, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """What was configured for an owner."""

    owner: Owner
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptPart:
    """Something of the graph, with what it rests on, or the text that it is in."""

    said: KeptGraph
    sources: tuple[KeptSource, ...] = ()


Kept: TypeAlias = KeptThread | Message | KeptFact | KeptChange | KeptPolicy | KeptPart


def is_export(first_line: str) -> bool:
    """Tell whether a file that begins with this line is one of our exports."""
    try:
        head = json.loads(first_line)
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(head, dict) and head.get("is") == "head" and head.get("keepwell") == "export"


def read_export(lines: Iterable[str], name: str = "the file") -> Iterator[Kept]:
    """Yield what an export holds, in its order; rejections are left out, because what they reject is not told.

    Raises:
        ImportFormatError: it is no such export, is of a newer version, is damaged, or was cut off.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, ""))
    if not is_export(first):
        raise ImportFormatError(f"{name}: {_WHAT}")
    if (version := json.loads(first).get("version")) != VERSION:
        raise ImportFormatError(f"{name}: it is of version {version!r}, and this keepwell reads version {VERSION}")
    for number, line in numbered:
        where = f"{name}, line {number}"
        value = _object(line, where)
        if value.get("is") == "end":
            return
        kept = _kept(value, where)
        if kept is not None:
            yield kept
    raise ImportFormatError(f"{name}: it ends before its end; export it again")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = codec.loads(line)
    except (ValueError, RecursionError, TypeError, LookupError) as error:
        raise ImportFormatError(f"{where}: not readable ({type(error).__name__}); export it again") from error
    if not isinstance(value, dict):
        raise ImportFormatError(f"{where}: {_WHAT}")
    return value


def _kept(value: dict[str, Any], where: str) -> Kept | None:
    reader = _READERS.get(str(value.get("is")))
    if reader is None:
        return None  # of a later minor version, or a rejection
    try:
        return reader(value)
    except KeepwellError as error:
        raise ImportFormatError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ImportFormatError(f"{where}: a field is missing or wrong ({error})") from error


def _thread(value: dict[str, Any]) -> KeptThread:
    place = _owner(value["owner"]), value["id"]
    return KeptThread(*place, value.get("title"), value.get("metadata") or {}, int(value.get("seen_to", 0)))


def _message(value: dict[str, Any]) -> Message:
    names = ("seq", "id", "role", "name", "parts", "tool_calls", "tool_call_id", "metadata", "native")
    given = {name: value[name] for name in names if value.get(name) is not None}
    return Message(**given, created_at=_moment(value["created_at"]))


def _fact(value: dict[str, Any]) -> KeptFact:
    trust = value.get("trust", "user")
    if trust not in get_args(Trust):
        raise ValueError(f"trust is {trust!r}")
    fact = Fact(
        id=UUID(value["id"]),
        version=int(value["version"]),
        text=str(value["text"]),
        owner=_owner(value["owner"]),
        recorded_at=cast("dt.datetime", _moment(value["recorded_at"])),
        subject=str(value.get("subject", "")),
        kind=str(value.get("kind", "")),
        key=value.get("key"),
        confidence=float(value.get("confidence", 1.0)),
        trust=trust,
        metadata=value.get("metadata") or {},
        reopened=bool(value.get("reopened")),
        **{name: _moment(value.get(name)) for name in ("valid_from", "valid_to", "retired_at", "expires_at")},
    )
    return KeptFact(fact, tuple(map(_source, value.get("sources", ()))))


def _change(value: dict[str, Any]) -> KeptChange:
    if value["kind"] not in get_args(ChangeKind):
        raise ValueError(f"kind is {value['kind']!r}")
    return KeptChange(
        id=UUID(value["id"]),
        kind=value["kind"],
        fact=UUID(value["fact"]),
        owner=_owner(value["owner"]),
        before=value.get("before"),
        after=value.get("after"),
        reason=str(value.get("reason", "")),
        at=cast("dt.datetime", _moment(value["at"])),
        actor=str(value.get("actor", "")),
        batch=UUID(value["batch"]),
        cause=None if value.get("cause") is None else UUID(value["cause"]),
        sources=tuple(map(_source, value.get("sources", ()))),
    )


def _policy(value: dict[str, Any]) -> KeptPolicy:
    return KeptPolicy(_owner(value["owner"]), dict(value["policy"]))


def _part(value: dict[str, Any]) -> KeptPart:
    named = [value["text"]] if value["is"] == "mention" else value.get("sources", ())
    return KeptPart(read_graph(value), tuple(map(_source, named)))


def _source(value: dict[str, Any]) -> KeptSource:
    if "fact" in value:
        return KeptSource(fact=UUID(value["fact"]), version=int(value["version"]))
    place = _owner(value["owner"]), str(value["thread"]), str(value["message"])
    return KeptSource(*place, int(value.get("start", 0)), int(value.get("end", 0)))


def _owner(value: list[str]) -> Owner:
    user, agent, run = map(str, value)
    return Owner(user, agent, run)


def _moment(value: str | None) -> dt.datetime | None:
    return None if value is None else utc(dt.datetime.fromisoformat(value))


_READERS: Mapping[str, Callable[[dict[str, Any]], Kept]] = {
    "thread": _thread,
    "message": _message,
    "fact": _fact,
    "change": _change,
    "policy": _policy,
    **dict.fromkeys(KINDS, _part),
}
