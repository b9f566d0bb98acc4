"""Comparing a projection with its record, thing by thing where sums differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from keepwell.storage.base import Record
from keepwell.storage.graph import (
    PROJECTED_KINDS,
    CountProjected,
    Outbox,
    ProjectedKind,
    ScanProjected,
    Tally,
)

if TYPE_CHECKING:
    from keepwell.storage.neo4j.projecting import Neo4jProjection, Shown

_PAGE = 20_000
"""Things of a kind at a time. The record may have to sort all of a tenant's for each page: the fewer, the better."""
_AT_MOST = 10_000
_LOOKS = 5
_DIGITS = 19
"""Fewer than these are a number that the record can have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A thing that the projection does not show as the record has it."""

    kind: ProjectedKind
    id: str
    what: Literal["missing", "left over", "older", "altered"]


@dataclass(frozen=True, slots=True)
class Verified:
    """How a projection compares with its record, kind by kind; ``differences`` names what differs (up to 10,000)."""

    record: Mapping[ProjectedKind, Tally]
    projection: Mapping[ProjectedKind, Tally]
    differences: tuple[Difference, ...] = ()
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


class Comparison:
    """One comparison of a target with its record.

    ``ask`` asks the target something and tells its failures apart; ``caught_up`` brings it up to the record, and tells
    whether that was done.
    """

    def __init__(
        self,
        record: Record,
        target: Neo4jProjection,
        ask: Callable[..., Any],
        caught_up: Callable[[], bool],
    ) -> None:
        """Bind them; nothing is asked yet."""
        self._record, self._target, self._ask, self._caught_up = record, target, ask, caught_up

    def made(self) -> Verified:
        """Give what differs."""
        mine, shown, suspects = self._compare()
        return Verified(mine, shown, self._settled(suspects))

    def _compare(self) -> tuple[Mapping[ProjectedKind, Tally], Mapping[ProjectedKind, Tally], list[Difference]]:
        mine = self._record.read(CountProjected())
        standing = self._ask(self._target.standing)
        generation = -1 if standing is None else standing.generation
        shown: dict[ProjectedKind, Tally] = {}
        suspects: list[Difference] = []
        for kind in PROJECTED_KINDS:
            seen = _Seen()
            for one in self._shown(kind, generation):
                seen.take(one)
            shown[kind] = Tally(seen.count, seen.checksum)
            if shown[kind] != mine.get(kind, Tally(0, 0)):
                suspects += self._apart(kind, generation)
            suspects += [Difference(kind, ident, "altered") for ident in seen.altered]
        return mine, shown, list(dict.fromkeys(suspects))[:_AT_MOST]

    def _shown(self, kind: ProjectedKind, generation: int) -> Iterator[Shown]:
        found = iter(self._target.scan(kind, generation))
        while (one := self._ask(next, found, None)) is not None:
            yield one

    def _scanned(self, kind: ProjectedKind) -> Iterator[tuple[str, int]]:
        for page in ahead(lambda after: scan(self._record, kind, after), None):
            yield from ((row.id, row.mark) for row in page.rows if row.properties is not None)

    def _apart(self, kind: ProjectedKind, generation: int) -> list[Difference]:
        """Go through both sides in the order of ids, and give what differs."""
        theirs = {one.id: one.mark for one in self._shown(kind, generation)}
        apart: list[Difference] = []
        for ident, mark in self._scanned(kind):
            there = theirs.pop(ident, None)
            if there != mark:
                apart.append(Difference(kind, ident, "missing" if there is None else "older"))
            if len(apart) >= _AT_MOST:
                return apart
        return apart + [Difference(kind, ident, "left over") for ident in theirs]

    def _settled(self, suspects: Sequence[Difference]) -> tuple[Difference, ...]:
        """Look at what differed again, until it does not or it is sure: the record goes on while it is compared."""
        left = list(suspects)
        for look in range(_LOOKS):
            if not left or (look and not self._caught_up()):
                break
            left = [one for kind in PROJECTED_KINDS for one in self._again(kind, [d for d in left if d.kind == kind])]
        return tuple(left)

    def _again(self, kind: ProjectedKind, suspects: Sequence[Difference]) -> Iterator[Difference]:
        ids = list(dict.fromkeys(one.id for one in suspects))
        for start in range(0, len(ids), 1000):
            some = ids[start : start + 1000]
            standing = self._ask(self._target.standing)
            there = {} if standing is None else self._ask(self._target.look, kind, standing.generation, some)
            known = tuple(ident for ident in some if _could_be(kind, ident))
            page = self._record.read(ScanProjected(kind, ids=known, limit=len(some)))
            here = {row.id: row.mark for row in page.rows if row.properties is not None}
            for ident in some:
                what = _difference(here.get(ident), there.get(ident))
                if what is not None:
                    yield Difference(kind, ident, what)


def scan(record: Record, kind: ProjectedKind, after: str | None) -> Outbox:
    """Give a page of all that is to be projected of a kind."""
    return record.read(ScanProjected(kind, after, limit=_PAGE))


def ahead(read: Callable[[str | None], Outbox], after: str | None) -> Iterator[Outbox]:
    """Give what is read from a position on, page by page, each read while the one before it is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="keepwell-projection") as reader:
        page = read(after)
        while True:
            coming = reader.submit(read, page.position) if page.more else None
            yield page
            if coming is None:
                return
            page = coming.result()


class _Seen:
    """What a scan of the target gave, added up in whatever order."""

    def __init__(self) -> None:
        self.count = self.checksum = 0
        self.altered: list[str] = []

    def take(self, one: Shown) -> None:
        self.count += 1
        self.checksum += one.mark
        if not one.whole and len(self.altered) < _AT_MOST:
            self.altered.append(one.id)


def _could_be(kind: ProjectedKind, ident: str) -> bool:
    """Tell whether the record can have a thing of that id; somebody else may have made one in Neo4j that it cannot."""
    if kind in {"mention", "message"}:
        return ident.isascii() and ident.isdigit() and len(ident) < _DIGITS
    try:
        return str(UUID(ident)) == ident
    except ValueError:
        return False


def _difference(mark: int | None, shown: Shown | None) -> Literal["missing", "left over", "older", "altered"] | None:
    if shown is None:
        return None if mark is None else "missing"
    if mark is None:
        return "left over"
    if shown.mark != mark:
        return "older"
    return None if shown.whole else "altered"
