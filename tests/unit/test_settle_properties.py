"""Whatever edits are settled against whatever stands, some things hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.errors import FactNotFound
from keepwell.formation.settle import Draft, Edit, Settled, Standing, fingerprint, hashes, settle
from keepwell.models import ChangeKind, Fact, Owner, Source
from keepwell.models.fact import TRUST

ADA = Owner("ada", "", "")
NOW = dt.datetime(2024, 5, 17, 14, tzinfo=dt.UTC)
BEFORE = NOW - dt.timedelta(days=1)
IDS = [UUID(int=number) for number in range(1, 6)]
TEXTS = ["tea", "Tea!", "coffee", "water", "milk"]

texts = st.sampled_from(TEXTS)
keys = st.sampled_from([None, None, "drink", "habit"])
trusts = st.sampled_from(list(TRUST))
sources = st.lists(st.builds(Source, st.integers(1, 5)), max_size=2).map(tuple)
rejected = st.frozensets(texts.map(lambda text: hashes(b"s", text, None)[0]), max_size=2)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Give any draft."""
    text, key = draw(texts), draw(keys)
    kind = draw(st.sampled_from(["", "habit"]))
    return Draft(text, "", kind, key, trust=draw(trusts), sources=draw(sources), hashes=hashes(b"s", text, key))


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Give any edit; most name a fact that may be there."""
    kind: ChangeKind = draw(st.sampled_from(["ADD", "ADD", "UPDATE", "UPDATE", "DELETE", "RESTORE", "NONE"]))
    fact = None if kind == "ADD" else draw(st.sampled_from(IDS))
    reject = draw(st.sampled_from([(), (), hashes(b"s", draw(texts), None)]))
    return Edit(kind, fact, draw(drafts()), reject=reject, trust=draw(trusts))


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """Give what may stand: facts whose keys and statements are all different."""
    facts: dict[UUID, Fact] = {}
    last: dict[UUID, int] = {}
    for ident in IDS:
        draft, version = draw(drafts()), draw(st.integers(1, 3))
        last[ident] = version
        one = Fact(ident, version, draft.text, ADA, BEFORE, kind=draft.kind, key=draft.key, trust=draft.trust)
        one = replace(one, reopened=draw(st.booleans()))
        marks = {fingerprint(other.text) for other in facts.values()}
        taken = {other.key for other in facts.values() if other.key}
        if draw(st.booleans()) and fingerprint(one.text) not in marks and one.key not in taken:
            facts[ident] = one
    return Standing(facts, last, draw(rejected))


def done(standing: Standing, asked: Sequence[Edit], *, explicit: bool = False) -> list[Settled] | None:
    """Settle edits; None where they name what is not there."""
    try:
        return settle(asked, standing, owner=ADA, actor="a", batch=UUID(int=0), explicit=explicit, at=NOW)
    except FactNotFound:
        return None


def after(standing: Standing, results: Sequence[Settled]) -> Standing:
    """Give what stands when changes were written, and check that each begins where the one before it ended."""
    facts, last, no = dict(standing.facts), dict(standing.last), set(standing.rejected)
    for one in results:
        change = one.change
        there = facts.get(change.fact)
        if change.kind == "NONE":
            assert change.before == change.after == there or change.before is None
        else:
            assert change.before == there
            facts.pop(change.fact, None)
            if change.after is not None:
                assert change.after.version == last.get(change.fact, 0) + 1
                facts[change.fact], last[change.fact] = change.after, change.after.version
        no = (no - set(one.lift)) | set(one.reject)
    return Standing(facts, last, frozenset(no))


@given(standings(), st.lists(edits(), max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_one_fact_a_key_and_a_statement(standing: Standing, asked: list[Edit], explicit: bool) -> None:
    """After any edits no two facts have one key or make one statement, and versions follow each other."""
    results = done(standing, asked, explicit=explicit)
    if results is None:
        return
    facts = after(standing, results).facts.values()
    given_keys = [one.key for one in facts if one.key is not None]
    marks = [fingerprint(one.text) for one in facts]
    assert (len(given_keys), len(marks)) == (len(set(given_keys)), len(set(marks)))


@given(standings(), edits(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_less_trusted_change_nothing(standing: Standing, edit: Edit, explicit: bool) -> None:
    """No change ends a version that is more trusted than who asked for it."""
    by_draft = edit.kind in ("ADD", "UPDATE") and edit.draft is not None
    trust = edit.draft.trust if by_draft and edit.draft is not None else edit.trust
    for one in done(standing, [edit], explicit=explicit) or ():
        if one.change.kind != "NONE" and one.change.before is not None:
            assert TRUST[trust] >= TRUST[one.change.before.trust]


@given(standings(), st.lists(edits(), max_size=5))
@settings(max_examples=150, deadline=None)
def test_nothing_rejected_is_learned(standing: Standing, asked: list[Edit]) -> None:
    """Where no person asks for it, nothing begins that was rejected, and no rejection is lifted."""
    results = done(standing, asked) or []
    no = set(standing.rejected)
    for one in results:
        if one.change.kind in ("ADD", "UPDATE", "RESTORE"):
            assert one.draft is not None
            before = one.change.before
            said_again = before is not None and fingerprint(before.text) == fingerprint(one.draft.text)
            assert said_again or no.isdisjoint(one.draft.hashes)
        assert one.lift == ()
        no |= set(one.reject)


@given(standings(), st.lists(edits(), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_begins_is_not_rejected_by_its_edit(standing: Standing, asked: list[Edit], explicit: bool) -> None:
    """A change that leaves a version rejects none of its hashes."""
    for one in done(standing, asked, explicit=explicit) or ():
        if one.draft is not None:
            assert set(one.reject).isdisjoint(one.draft.hashes)


@given(standings(), edits(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_asked_twice(standing: Standing, edit: Edit, explicit: bool) -> None:
    """The same edit asked again changes no fact the second time."""
    first = done(standing, [edit], explicit=explicit)
    if first is None:
        return
    again = done(after(standing, first), [edit], explicit=explicit)
    assert again is None or {one.change.kind for one in again} <= {"NONE"}


@given(standings(), st.lists(edits(), max_size=4))
@settings(max_examples=150, deadline=None)
def test_superset_is_the_same(standing: Standing, asked: list[Edit]) -> None:
    """What stands and has nothing to do with the edits makes no difference to them."""
    other = Fact(UUID(int=99), 1, "something else", ADA, BEFORE, key="else")
    more = replace(standing, facts={**standing.facts, other.id: other}, last={**standing.last, other.id: 1})
    one, two = done(standing, asked), done(more, asked)
    assert (one is None) == (two is None)
    assert _told(one) == _told(two)


def _told(results: Sequence[Settled] | None) -> list[tuple[object, ...]]:
    """Give what came of edits; facts that were made are named by their places, because each is made with another id."""
    names = {str(one.change.fact): f"fact {n}" for n, one in enumerate(results or ())}
    reasons = [one.change.reason for one in results or ()]
    for ident, name in names.items():
        reasons = [reason.replace(ident, name) for reason in reasons]
    rows = zip(results or (), reasons, strict=True)
    return [(one.change.kind, reason, one.also, one.lift) for one, reason in rows]
