"""Writing the projection: each batch in one transaction with the position up to which it brings the projection.

One projector at a time holds the place (a lease on the node ``KeepwellProjection``, by the server's clock). That is to
save work; what keeps the projection right is that a batch is written only where the position is still the one that
it was read from. See docs/explanation/projection.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keepwell.errors import LeaseLost
from keepwell.storage.graph import PROJECTED_KINDS, Outbox, Projected, ProjectedKind, Tally
from keepwell.storage.neo4j.blocks import block
from keepwell.storage.neo4j.driver import Bolt, Row, Transaction, rows
from keepwell.storage.neo4j.migrations import migrate
from keepwell.storage.neo4j.saying import EDGES, LABELS, EdgeType, Label, Said, checksum, owned, read_back, say, written

_AT_ONCE = 5000
_KINDS: Mapping[str, ProjectedKind] = {name: kind for kind, name in (*LABELS.items(), *EDGES.items())}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a projection is; ``identity`` is of the record that it shows, None before the first time.

    ``applied`` counts changes. Times are milliseconds since 1970 by the server's clock. ``building``: a generation
    that is being built beside the live one, and how far it is.
    """

    generation: int
    identity: str | None
    position: str | None
    stamp: int
    applied: int = 0
    applied_at: int | None = None
    built_at: int | None = None
    building: int | None = None
    building_position: str | None = None
    being_built: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A thing as Neo4j has it: its mark, and whether it still says what was written."""

    id: str
    mark: int
    whole: bool


class Neo4jProjection:
    """The projection of one tenant's graph in a Neo4j database."""

    def __init__(self, bolt: Bolt, tenant: str, *, lease_seconds: float = 10.0) -> None:
        """Bind them; nothing is asked yet."""
        self.bolt, self.tenant = bolt, tenant
        self._holder = uuid.uuid4().hex
        self._lease = int(lease_seconds * 1000)
        self._ready = False

    @property
    def name(self) -> str:
        """The server in words that hold no secret."""
        return self.bolt.name

    def standing(self) -> Standing | None:
        """Give how far it is; None where nothing was ever projected there."""
        found = self.bolt.rows(block("state"), {"tenant": self.tenant})
        return _standing(found[0]["p"], found[0]["now"]) if found else None

    def claim(self) -> Standing | None:
        """Take the projector's place; None where somebody else has it."""
        self._prepare()
        found = self._one("claim", holder=self._holder, lease=self._lease)
        return None if found is None else _standing(found["p"])

    def release(self) -> None:
        """Leave the place to others."""
        self._one("release", holder=self._holder)

    def apply(self, before: Standing, batch: Outbox) -> Standing:
        """Write a batch that was read after a position, and move the position on.

        Raises:
            LeaseLost: the position is another one by now; nothing was written.
        """

        def work(tx: Transaction) -> Standing:
            moved = self._advance(tx, before, batch)
            state = _standing(moved["p"], being_built=moved["building"])
            self._put(tx, batch.rows, state.generation, batch.stamp)
            return state

        return self.bolt.write(work)

    def begin(self, identity: str) -> Standing | None:
        """Begin a generation beside the live one; None where somebody is at it. What was left of one is removed."""
        self._prepare()
        found = self._one("begin_build", identity=identity, holder=self._holder, lease=3 * self._lease)
        if found is None:
            return None
        if found["left"] is not None:
            self._remove(found["left"])
        return _standing(found["p"])

    def build(self, state: Standing, batch: Outbox, *, replayed: bool = False) -> Standing:
        """Write things into the generation that is being built; ``replayed``: they are of the outbox, in its order.

        Raises:
            LeaseLost: somebody else builds now.
        """
        after = batch.position if replayed else None

        def work(tx: Transaction) -> Standing:
            found = rows(tx, block("go_on_building"), tenant=self.tenant, **self._builder(state), after=after)
            if not found:
                raise LeaseLost("somebody else builds the projection anew now")
            self._put(tx, batch.rows, state.building or 0, batch.stamp, fresh=not replayed)
            return _standing(found[0]["p"])

        return self.bolt.write(work)

    def switch(self, state: Standing, stamp: int) -> Standing:
        """Make what was built the live generation, and remove the one before.

        Raises:
            LeaseLost: somebody else builds now.
        """
        found = self._one("switch", generation=state.building, holder=self._holder, stamp=stamp)
        if found is None:
            raise LeaseLost("somebody else builds the projection anew now")
        self.remove_old()
        return _standing(found["p"])

    def give_up(self, state: Standing) -> None:
        """Leave what was begun to be removed by whoever builds next."""
        self._one("give_up_building", generation=state.building, holder=self._holder)

    def remove_old(self) -> None:
        """Remove generations that are neither live nor being built: what a rebuild left that was killed at its end."""
        for row in self.bolt.rows(block("generations"), {"tenant": self.tenant}):
            state = self.standing()
            if state is not None and row["generation"] not in {state.generation, state.building}:
                self._remove(row["generation"])

    def wipe(self) -> None:
        """Remove all that was projected for the tenant."""
        for row in self.bolt.rows(block("generations"), {"tenant": self.tenant}):
            self._remove(row["generation"])
        self._one("forget_projection")

    # Comparing

    def tallies(self, generation: int) -> dict[ProjectedKind, Tally]:
        """Count what is there, kind by kind."""
        return {kind: self._tally(kind, generation) for kind in PROJECTED_KINDS}

    def scan(self, kind: ProjectedKind, generation: int, *, page: int = 5000) -> Iterator[Shown]:
        """Give everything of a kind in the order of ids, each read whole and compared with what was written."""
        statement, after = block(f"scan_{kind}", WHICH="> $after"), ""
        while True:
            found = self.bolt.rows(statement, {**self._where(generation), "after": after, "limit": page})
            yield from (_shown(kind, row) for row in found)
            if len(found) < page:
                return
            after = found[-1]["id"]

    def look(self, kind: ProjectedKind, generation: int, ids: Sequence[str]) -> dict[str, Shown]:
        """Give those of these things that are there."""
        statement = block(f"scan_{kind}", WHICH="IN $ids")
        found = self.bolt.rows(statement, {**self._where(generation), "ids": list(ids), "limit": len(ids)})
        return {row["id"]: _shown(kind, row) for row in found}

    def _where(self, generation: int) -> Row:
        return {"tenant": self.tenant, "generation": generation}

    def _tally(self, kind: ProjectedKind, generation: int) -> Tally:
        where = self._where(generation)
        if kind in LABELS:
            found = self.bolt.rows(block("tally_nodes", LABEL=LABELS[kind]), where)
        else:
            found = self.bolt.rows(block("tally_edges", TYPE=EDGES[kind]), where)
        return Tally(found[0]["count"], found[0]["checksum"])

    # Writing

    def _prepare(self) -> None:
        if not self._ready:
            migrate(self.bolt)
            self._ready = True

    def _builder(self, state: Standing) -> dict[str, Any]:
        return {"generation": state.building, "holder": self._holder, "lease": 3 * self._lease}

    def _advance(self, tx: Transaction, before: Standing, batch: Outbox) -> Row:
        found = rows(
            tx,
            block("advance"),
            tenant=self.tenant,
            identity=batch.identity,
            before=before.position or "",
            after=batch.position or before.position,
            stamp=batch.stamp,
            count=len(batch.rows),
            holder=self._holder,
            lease=self._lease,
        )
        if not found:
            raise LeaseLost("somebody else has moved the projection on")
        return found[0]

    def _put(
        self, tx: Transaction, things: Sequence[Projected], generation: int, stamp: int, *, fresh: bool = False
    ) -> None:
        """Write things in their present state; in a ``fresh`` generation none of them was written before."""
        where = {**self._where(generation), "stamp": stamp}
        said, left = say(things), _Ends()
        if fresh:
            _make(tx, said, where)
        else:
            _renew_edges(tx, said, where, left)
            _put_nodes(tx, said, where, left)
        _put_edges(tx, said, where, fresh=fresh)
        for kind, label in LABELS.items():
            if said.gone.get(kind):
                left.add(rows(tx, block("drop_nodes", LABEL=label), ids=said.gone[kind], **where))
        for label, ids in left.by_label():
            tx.run(block("sweep", LABEL=label), ids=ids, **where).consume()

    def _remove(self, generation: int) -> None:
        """Remove what one rebuild wrote, some at a time, so that half a gigabyte of memory is enough for any of it."""
        # Relations first: a node of very many would be too much by itself.
        steps = [block("remove_edges", TYPE=type_) for type_ in EDGES.values()]
        steps += [block("remove_nodes", LABEL=label) for label in ("Entity", "Fact", "Message", "Thread")]
        where = {**self._where(generation), "limit": _AT_ONCE}
        for step in steps:
            while self.bolt.write(lambda tx, step=step: rows(tx, step, **where))[0]["count"] == _AT_ONCE:  # type: ignore[misc]  # one step
                pass

    def _one(self, name: str, **parameters: Any) -> Row | None:  # noqa: ANN401 - values of Cypher
        found = self.bolt.write(lambda tx: rows(tx, block(name), tenant=self.tenant, **parameters))
        return found[0] if found else None


class _Ends:
    """Nodes from which something was taken: those that say nothing themselves may have to go."""

    def __init__(self) -> None:
        self._ids: dict[Label, set[str]] = {}

    def add(self, found: Iterable[Row]) -> None:
        for row in found:
            self._ids.setdefault(row["label"], set()).add(row["id"])

    def by_label(self) -> list[tuple[Label, list[str]]]:
        return [(label, sorted(ids)) for label, ids in self._ids.items()]


def _renew_edges(tx: Transaction, said: Said, where: Mapping[str, Any], left: _Ends) -> None:
    """Renew relations between the same two; take away those that are gone or lead elsewhere, to be put again."""
    old: dict[EdgeType, list[str]] = {EDGES[kind]: list(said.gone[kind]) for kind in EDGES if said.gone.get(kind)}
    for (type_, start, end), edges in said.edges.items():
        statement = block("renew_edges", TYPE=type_, SAID=written(_KINDS[type_], 2))
        renewed = {ident for row in rows(tx, statement, rows=edges, **where) for ident in row["ids"]}
        said.edges[type_, start, end] = [row for row in edges if row[2] not in renewed]
        old.setdefault(type_, []).extend(row[2] for row in said.edges[type_, start, end])
    for type_, ids in old.items():
        if ids:
            left.add(rows(tx, block("drop_edges", TYPE=type_), ids=ids, **where))


def _put_edges(tx: Transaction, said: Said, where: Mapping[str, Any], *, fresh: bool) -> None:
    for (type_, start, end), edges in said.edges.items():
        if edges:
            words = {"TYPE": type_, "FROM": start, "TO": end, "SAID": written(_KINDS[type_], 2)}
            tx.run(block("make_edges" if fresh else "put_edges", **words), rows=edges, **where).consume()


def _put_nodes(tx: Transaction, said: Said, where: Mapping[str, Any], left: _Ends) -> None:
    for label, nodes in said.nodes.items():
        tx.run(block("put_nodes", LABEL=label, SAID=written(_KINDS[label])), rows=nodes, **where).consume()
    _put_threads(tx, said, where, "put_lies")
    if said.nodes.get("Fact"):
        left.add(rows(tx, block("drop_grounds"), ids=[node[0] for node in said.nodes["Fact"]], **where))
    _put_grounds(tx, said, where)


def _make(tx: Transaction, said: Said, where: Mapping[str, Any]) -> None:
    """Write nodes where none was; a fact or a message that others rest on may have been made by those."""
    for label, nodes in said.nodes.items():
        name = "make_nodes" if label == "Entity" else "put_nodes"
        tx.run(block(name, LABEL=label, SAID=written(_KINDS[label])), rows=nodes, **where).consume()
    _put_threads(tx, said, where, "make_lies")
    _put_grounds(tx, said, where)


def _put_threads(tx: Transaction, said: Said, where: Mapping[str, Any], lies: str) -> None:
    if said.threads:
        threads = list(said.threads.values())
        tx.run(block("put_threads", OWNED=owned(1)), rows=threads, **where).consume()
        tx.run(block(lies, OWNED=owned(2)), rows=said.lies, **where).consume()


def _put_grounds(tx: Transaction, said: Said, where: Mapping[str, Any]) -> None:
    for label, grounds in said.grounds.items():
        if grounds:
            tx.run(block("put_grounds", LABEL=label, OWNED=owned(2)), rows=grounds, **where).consume()


def _shown(kind: ProjectedKind, row: Row) -> Shown:
    told = checksum(kind, row["id"], read_back(kind, row["said"], row["ends"]))
    return Shown(row["id"], row["said"]["mark"], told == row["said"].get("sum"))


def _standing(node: Mapping[str, Any], now: int = 0, *, being_built: bool = False) -> Standing:
    return Standing(
        node["generation"],
        node.get("identity"),
        node.get("position"),
        node.get("stamp") or 0,
        node.get("applied") or 0,
        node.get("applied_at"),
        node.get("built_at"),
        node.get("building"),
        node.get("building_position"),
        being_built or (node.get("building") is not None and (node.get("building_until") or 0) >= now > 0),
    )
