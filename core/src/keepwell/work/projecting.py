"""Bringing a projection of the graph up to date, building it anew, and comparing it with the record.

The projector reads what changed from the record's outbox, in its present state, and the target writes it together with
the position. Nothing here is on the way of a write: where the target is away, what changed stays noted.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeAlias, TypeVar

from keepwell.errors import KeepwellError, LeaseLost, StoreError
from keepwell.storage.base import Record
from keepwell.storage.graph import (
    Outbox,
    ProjectedKind,
    Projection,
    PruneOutbox,
    ReadOutbox,
    ReadProjection,
    SetProjection,
    Tally,
)
from keepwell.work.verifying import Comparison, Verified, ahead, scan

if TYPE_CHECKING:
    from keepwell.storage.neo4j.projecting import Neo4jProjection, Standing

P = ParamSpec("P")
R = TypeVar("R")
Progress: TypeAlias = Callable[[ProjectedKind, int], None]
_log = logging.getLogger("keepwell.projection")
_LONGEST_REST = 60.0
_PRUNE_EVERY = 20
_BUILT_FIRST: tuple[ProjectedKind, ...] = ("entity", "message", "fact", "relation", "mention")
"""Nodes before what connects them."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What one round of the projector did: so many changes; ``built``: all of it anew; ``skipped``: why it did not."""

    changes: int = 0
    built: bool = False
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """How far a projection is: ``waiting`` changes, the first of them ``lag`` seconds old, and in what state it is.

    ``away`` says why the target does not answer; ``resting`` for how many seconds the projector leaves it alone.
    """

    target: str
    state: Literal["current", "behind", "building", "to be built", "away"]
    waiting: int
    lag: float
    applied: int = 0
    away: str | None = None
    resting: float = 0.0
    built_at: dt.datetime | None = None
    applied_at: dt.datetime | None = None
    counts: Mapping[ProjectedKind, Tally] = field(default_factory=dict)


class _Away(KeepwellError):
    """The target, not the record, cannot do what was asked."""


class Projector:
    """Keeps one target up to one tenant's record; remembers failures, to leave a target alone that is away."""

    def __init__(
        self,
        record: Record,
        target: Neo4jProjection,
        *,
        batch: int = 2000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind them; nothing is asked yet."""
        self.record, self.target = record, target
        self._batch, self._clock = batch, clock
        self._failures, self._rests_until = 0, 0.0
        self._switched_on = False

    @property
    def resting(self) -> float:
        """For how many seconds the target is left alone, after failures."""
        return max(0.0, self._rests_until - self._clock())

    def switch_on(self) -> Projection:
        """Have the record note what changes for this target from now on."""
        self.record.write(SetProjection(self.target.name))
        found = self.record.read(ReadProjection())
        if found is None:
            raise StoreError("the record does not note what changes")
        self._switched_on = True
        return found

    def sync(self, *, early: bool = True, stopping: Callable[[], bool] = lambda: False) -> Brought:
        """Bring the target up to the record; with ``early`` off it is left alone for a while after a failure.

        Where the target is away, slow, or in the hands of another projector, that is said in the answer, and what
        changed stays noted. Where it shows another record, or nothing, it is built anew.
        """
        if not early and self.resting:
            return Brought(skipped=f"{self.target.name} failed and is left alone for {self.resting:.0f} s")
        try:
            done = self._bring(stopping)
        except _Away as away:
            self._failed(away)
            return Brought(skipped=str(away))
        self._failures, self._rests_until = 0, 0.0
        return done

    def rebuild(self, progress: Progress | None = None, *, stopping: Callable[[], bool] = lambda: False) -> int:
        """Build the projection anew beside the live one, and switch to it; counts the things.

        Raises:
            LeaseLost: somebody else is building it.
            StoreUnavailable: the target does not answer; the live projection is as it was.
        """
        identity = (self.record.read(ReadProjection()) or self.switch_on()).identity
        try:
            count = self._build(identity, progress, stopping)
        except _Away as away:
            raise away.__cause__ or away from None
        if count is None:
            raise LeaseLost("the projection is being built already")
        return count

    def verify(self) -> Verified:
        """Compare all that the projection shows with the record, thing by thing where sums differ.

        What changes meanwhile is looked at again, after the projection was brought up to it.

        Raises:
            StoreUnavailable: the target does not answer.
        """
        began = self._clock()
        brought = self.sync()
        if brought.skipped is not None:
            _log.info("compared as it is: %s", brought.skipped)
        comparison = Comparison(self.record, self.target, self._ask, lambda: self.sync().skipped is None)
        try:
            found = comparison.made()
        except _Away as away:
            raise away.__cause__ or away from None
        return replace(found, seconds=self._clock() - began)

    def remove(self, *, record_only: bool = False) -> None:
        """Remove what was projected, and have the record note nothing any more.

        Raises:
            StoreUnavailable: the target does not answer; nothing was done.
        """
        if not record_only:
            self.target.wipe()
        self.record.write(SetProjection(None))
        self._switched_on = False

    def status(self) -> ProjectionStatus:
        """Tell how far the projection is, and whether the target answers."""
        noted = self.record.read(ReadProjection())
        waiting, oldest = (0, None) if noted is None else (noted.waiting, noted.oldest)
        lag = 0.0 if oldest is None else max(0.0, (dt.datetime.now(dt.UTC) - oldest).total_seconds())
        name = self.target.name
        try:
            standing = self._ask(self.target.standing)
            counts = {} if standing is None else self._ask(self.target.tallies, standing.generation)
        except _Away as away:
            return ProjectionStatus(name, "away", waiting, lag, away=str(away), resting=self.resting)
        if standing is None or noted is None or standing.identity != noted.identity:
            building = standing is not None and standing.being_built
            return ProjectionStatus(name, "building" if building else "to be built", waiting, lag, counts=counts)
        return ProjectionStatus(
            name,
            "building" if standing.being_built else "behind" if waiting else "current",
            waiting,
            lag,
            standing.applied,
            built_at=_at(standing.built_at),
            applied_at=_at(standing.applied_at),
            counts=counts,
        )

    # One round

    def _bring(self, stopping: Callable[[], bool]) -> Brought:
        noted = self.record.read(ReadProjection())
        if noted is None or not self._switched_on:
            noted = self.switch_on()
        held = self._ask(self.target.claim)
        if held is None:
            return Brought(skipped="another projector is at it")
        try:
            built = held.identity != noted.identity
            if built:
                if self._build(noted.identity, None, stopping) is None:
                    return Brought(skipped="the projection is being built by another")
                held = self._ask(self.target.claim)
            return Brought(0 if held is None else self._follow(held, stopping, unpruned=built), built)
        except LeaseLost as lost:
            _log.info("%s", lost)
            return Brought(skipped=str(lost))
        finally:
            self._leave()

    def _follow(self, held: Standing, stopping: Callable[[], bool], *, unpruned: bool) -> int:
        """Apply what is in the outbox after a position, batch by batch, and take off what was applied."""
        changes = batches = 0
        for batch in ahead(self._outbox, held.position):
            if batch.position is None or batch.identity != held.identity or stopping():
                break
            held = self._ask(self.target.apply, held, batch)
            changes, batches, unpruned = changes + len(batch.rows), batches + 1, True
            if batches % _PRUNE_EVERY == 0:
                self._prune(held)
                unpruned = False
        if unpruned:
            self._prune(held)
        return changes

    def _outbox(self, after: str | None) -> Outbox:
        return self.record.read(ReadOutbox(after, self._batch))

    def _prune(self, held: Standing) -> None:
        # A generation that is being built beside this one begins at an earlier position, and goes through it all.
        if held.position is not None and not held.being_built:
            self.record.write(PruneOutbox(held.position))

    def _leave(self) -> None:
        try:
            self._ask(self.target.release)
        except _Away as away:  # the lease ends by itself
            _log.info("the projector's place was not given back: %s", away)

    def _ask(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask the target; its failure is told apart from one of the record."""
        try:
            return work(*args, **kwargs)
        except StoreError as error:
            raise _Away(str(error)) from error

    def _failed(self, away: _Away) -> None:
        self._failures += 1
        rest = min(_LONGEST_REST, 2.0 ** min(self._failures - 1, 10))
        self._rests_until = self._clock() + rest
        _log.warning("the projection waits, for %.0f s at least: %s", rest, away)

    # All of it

    def _build(self, identity: str, progress: Progress | None, stopping: Callable[[], bool]) -> int | None:
        state = self._ask(self.target.begin, identity)
        if state is None:
            return None
        try:
            count, state = self._fill(state, identity, progress, stopping)
            self._ask(self.target.switch, *self._replay(state, stopping))
        except BaseException:
            self._give_up(state)
            raise
        _log.info("the projection was built anew: %d things", count)
        return count

    def _fill(
        self, state: Standing, identity: str, progress: Progress | None, stopping: Callable[[], bool]
    ) -> tuple[int, Standing]:
        count = 0
        for kind in _BUILT_FIRST:
            for page in ahead(lambda after, of=kind: scan(self.record, of, after), None):  # type: ignore[misc]  # one kind
                for start in range(0, max(1, len(page.rows)), self._batch):
                    if page.identity != identity or stopping():
                        raise LeaseLost("the projection was not built to the end")
                    some = replace(page, rows=page.rows[start : start + self._batch])
                    state = self._ask(self.target.build, state, some)
                    count += len(some.rows)
                    if progress is not None:
                        progress(kind, len(some.rows))
        return count, state

    def _replay(self, state: Standing, stopping: Callable[[], bool]) -> tuple[Standing, int]:
        """Apply what changed while it was built; gives also the stamp of the last that was read."""
        while True:
            batch = self.record.read(ReadOutbox(state.building_position, self._batch))
            if stopping():
                raise LeaseLost("the projection was not built to the end")
            if batch.position is not None:
                state = self._ask(self.target.build, state, batch, replayed=True)
            if not batch.more:
                return state, batch.stamp

    def _give_up(self, state: Standing) -> None:
        try:
            self._ask(self.target.give_up, state)
        except _Away as away:  # its time will be over
            _log.info("what was built is left as it is: %s", away)


def _at(milliseconds: int | None) -> dt.datetime | None:
    return None if milliseconds is None else dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
