"""The verbs that look at facts: what is held to be true, what was, since when, and on what it rests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keepwell.errors import FactNotFound, InvalidQuery, UsageError
from keepwell.memory.drafts import FactLike, ident_of
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.memory.twins import twin
from keepwell.models import Change, Changes, Diff, Fact, Facts, Receipt, Rejection, Scope, Sources
from keepwell.models.message import now, utc
from keepwell.models.scope import check_id
from keepwell.storage.facts import LiftRejections, ListFacts, ListRejections, ReadHistory, ReadSources, Remains

if TYPE_CHECKING:
    from keepwell.memory.engine import Engine


class Past:
    """What can be asked of the facts of a view, of now and of any instant before.

    Example:
        >>> from datetime import UTC, datetime
        >>> before = datetime.now(UTC)
        >>> fact = ada.remember("Ada is allergic to peanuts", kind="attribute")
        >>> [fact.text for fact in ada.facts(kind="attribute")]
        ['Ada is allergic to peanuts']
        >>> len(ada.facts(as_of=before))
        0
        >>> [fact.text for fact in ada.diff(before).added]
        ['Ada is allergic to peanuts']
    """

    scope: Scope

    @property
    def _engine(self) -> Engine:
        raise NotImplementedError  # the view's

    def facts(
        self,
        *,
        as_of: dt.datetime | None = None,
        valid_at: dt.datetime | None = None,
        key: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Facts:
        """Give a page of the facts that stand, newest first, or (``as_of``) of those that were held at an instant.

        ``valid_at`` gives only what is true then, as far as its dates are known. ``where`` is matched against
        metadata. ``after=page.next`` gives the page after; a page's ``next`` is None at the end.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidQuery(f"limit is {limit}; give 1 to {MAX_PAGE}")
        for name, text in (("key", key), ("kind", kind), ("subject", subject)):
            if text is not None:
                check_id(text, name)
        moments = [None if moment is None else utc(moment) for moment in (as_of, valid_at)]
        query = ListFacts(
            self.scope,
            key=key,
            kind=kind,
            subject=subject,
            where=where or {},
            as_of=moments[0],
            valid_at=moments[1],
            after=after,
            limit=limit,
        )
        found = self._engine.record.read(query)
        at = moments[0] or now()
        return Facts(tuple(fact for fact in found if not expired(fact, at)), found.next)

    def fact(self, ident: FactLike) -> Fact:
        """Give a fact as it stands now, or as it last stood.

        Raises:
            FactNotFound: there is no such fact in this scope.
        """
        return self._version(ident_of(ident), None)

    def history(
        self,
        fact: FactLike | None = None,
        *,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Changes:
        """Give a page of what was changed, newest first: of one fact, or of all that the scope sees.

        Decisions to change nothing (``NONE``) are among them. ``after=page.next`` gives the page after.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidQuery(f"limit is {limit}; give 1 to {MAX_PAGE}")
        ident = None if fact is None else ident_of(fact)
        span = [None if moment is None else utc(moment) for moment in (since, until)]
        return self._engine.record.read(
            ReadHistory(self.scope, ident, since=span[0], until=span[1], after=after, limit=limit)
        )

    def diff(self, t1: dt.datetime, t2: dt.datetime | None = None) -> Diff:
        """Give how what is held to be true differs between two instants; the second is now where it is not given."""
        then = {fact.id: fact for fact in self._facts(as_of=utc(t1))}
        later = {fact.id: fact for fact in self._facts(as_of=None if t2 is None else utc(t2))}
        both = [(then[ident], later[ident]) for ident in then if ident in later]
        return Diff(
            added=tuple(fact for ident, fact in later.items() if ident not in then),
            removed=tuple(fact for ident, fact in then.items() if ident not in later),
            changed=tuple((old, new) for old, new in both if old.version != new.version),
        )

    def sources(self, fact: FactLike) -> Sources:
        """Give what a fact rests on: quotes of messages, and facts that it was formed from.

        Of a value those of its version, of an id those of the newest.

        Raises:
            FactNotFound: there is no such fact in this scope.
        """
        version = fact.version if isinstance(fact, Fact) else None
        return self._engine.record.read(ReadSources(self.scope, ident_of(fact), version))

    # Rejections

    def rejections(self) -> tuple[Rejection, ...]:
        """Give what views of this scope have rejected, newest first: who, when and why; the words are not kept."""
        return self._engine.record.read(ListRejections(self.scope))

    def lift(self, *rejections: Rejection | int, connection: object = None) -> int:
        """Lift rejections, so that what they name may be learned again; give how many there were.

        ``lift(*view.rejections())`` lifts all.
        """
        ids = tuple(one.id if isinstance(one, Rejection) else one for one in rejections)
        if any(not isinstance(ident, int) for ident in ids):
            raise UsageError("lift() takes rejections, or their numbers")
        return self._engine.write(LiftRejections(self.scope, ids), connection) if ids else 0

    def verify(self, receipt: Receipt) -> dict[str, int]:
        """Give how much is still there, place by place, of what a ``forget`` through this view removed.

        All numbers are 0 as long as nothing was written under the same ids since.

        Raises:
            UsageError: the receipt is of another view.
        """
        what = receipt.what
        if Scope(what.user_id, what.agent_id, what.run_id, what.across_users) != self.scope:
            raise UsageError("this receipt is of another view; verify it through the scope that it names")
        return self._engine.record.read(Remains(self.scope, what.thread, what.message, what.fact))

    afacts = twin(facts)
    afact = twin(fact)
    ahistory = twin(history)
    adiff = twin(diff)
    asources = twin(sources)
    arejections = twin(rejections)
    alift = twin(lift)
    averify = twin(verify)

    # Parts of the verbs

    def _version(self, ident: UUID, version: int | None) -> Fact:
        """Give a fact in one version, or in its newest."""
        found = list(self._facts(ids=(ident,), versions=True))
        wanted = [fact for fact in found if version in {None, fact.version}]
        if not wanted:
            which = "" if version is None or not found else f" in version {version}"
            raise FactNotFound(f"there is no fact {ident}{which} in this scope")
        return max(wanted, key=lambda fact: fact.version)

    def _facts(self, **options: Any) -> Iterator[Fact]:  # noqa: ANN401 - fields of ListFacts
        return pages(self._engine.record, ListFacts(self.scope, limit=MAX_PAGE, **options))

    def _changes(self, **options: Any) -> Iterator[Change]:  # noqa: ANN401 - fields of ReadHistory
        return pages(self._engine.record, ReadHistory(self.scope, limit=MAX_PAGE, **options))


def expired(fact: Fact, at: dt.datetime) -> bool:
    """Tell whether a fact is past the day that it was to be forgotten; retention removes it."""
    return fact.expires_at is not None and fact.expires_at <= at


def check_facts_of(scope: Scope, fact: Fact) -> None:
    """Refuse a fact that a view does not see.

    Raises:
        FactNotFound: it belongs to somebody else.
    """
    if not scope.covers(fact.owner):
        raise FactNotFound(f"there is no fact {fact.id} in this scope")
