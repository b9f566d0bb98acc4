"""What edits of facts come to, given what stands."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from keepwell.errors import FactChanged, FactNotFound
from keepwell.formation.settle import Draft, Edit, Settled, Standing, draft_of, fact_of, hashes, says, settle
from keepwell.models import ChangeKind, Fact, Owner, Source, Trust

ADA = Owner("ada", "", "")
NOW = dt.datetime(2024, 5, 17, 14, tzinfo=dt.UTC)
BEFORE = NOW - dt.timedelta(days=1)
MESSAGE = (Source(7, 0, 3),)


def fact(text: str, **fields: Any) -> Fact:
    """Give a fact that stands since yesterday."""
    return Fact(**{"id": uuid4(), "version": 1, "text": text, "owner": ADA, "recorded_at": BEFORE, **fields})


def draft(text: str, **fields: Any) -> Draft:
    """Give a draft with its hashes."""
    return Draft(text, **{"hashes": hashes(b"s", text, fields.get("key")), **fields})


def add(text: str, **fields: Any) -> Edit:
    """Give an edit that adds."""
    return Edit("ADD", draft=draft(text, **fields))


def settled(
    edits: list[Edit],
    *standing: Fact,
    rejected: tuple[bytes, ...] = (),
    explicit: bool = False,
    last: dict[UUID, int] | None = None,
) -> list[Settled]:
    """Settle edits against what stands."""
    known = {one.id: one for one in standing}
    numbers = {ident: one.version for ident, one in known.items()} | (last or {})
    there = Standing(known, numbers, frozenset(rejected))
    return settle(edits, there, owner=ADA, actor="who", batch=UUID(int=1), explicit=explicit, at=NOW)


def told(results: list[Settled]) -> list[tuple[str, UUID, str | None]]:
    """Give kind, fact and what stands after each change."""
    changes = [one.change for one in results]
    return [(one.kind, one.fact, None if one.after is None else one.after.text) for one in changes]


def test_nothing() -> None:
    """No edits come to nothing."""
    assert settled([]) == []


def test_add() -> None:
    """A new statement is a fact in version 1, with what its draft says, recorded now."""
    edit = replace(add("tea", key="k", kind="habit", sources=MESSAGE), reason="why", cause=UUID(int=9))
    (one,) = settled([edit])
    change = one.change
    assert change.after is not None
    assert (change.kind, change.before, change.reason, change.actor) == ("ADD", None, "why", "who")
    assert (change.batch, change.cause, change.at, change.sources) == (UUID(int=1), UUID(int=9), NOW, MESSAGE)
    assert (change.after.id, change.after.version, change.after.recorded_at) == (change.fact, 1, NOW)
    assert (change.after.key, change.after.kind, change.after.owner) == ("k", "habit", ADA)
    assert (one.draft, one.reject, one.lift, one.also) == (edit.draft, (), (), ())


def test_add_under_an_id() -> None:
    """An addition may name the id of its fact; one that was there before goes on in its versions."""
    ident = uuid4()
    (one,) = settled([Edit("ADD", ident, draft("tea"))])
    (two,) = settled([Edit("ADD", ident, draft("tea"))], last={ident: 4})
    assert [(x.change.fact, x.change.after and x.change.after.version) for x in (one, two)] == [(ident, 1), (ident, 5)]


def test_edits_see_each_other() -> None:
    """Each edit is settled against what the ones before it left."""
    results = settled([add("tea", key="k"), add("coffee", key="k"), add("coffee"), add("tea")])
    first = results[0].change.fact
    assert [kind for kind, _, _ in told(results)] == ["ADD", "UPDATE", "NONE", "ADD"]
    assert told(results)[1] == ("UPDATE", first, "coffee")
    assert results[3].change.fact != first


def test_two_updates() -> None:
    """Two updates of one fact make two versions, the second of which follows the first."""
    tea = fact("tea")
    one, two = settled([Edit("UPDATE", tea.id, draft("coffee")), Edit("UPDATE", tea.id, draft("water"))], tea)
    assert two.change.before == one.change.after
    assert two.change.after is not None
    assert two.change.after.version == 3


@pytest.mark.parametrize("kind", ["ADD", "UPDATE", "RESTORE"])
def test_needs_a_draft(kind: Any) -> None:
    """An edit that says something needs words to say it."""
    tea = fact("tea")
    with pytest.raises(TypeError, match=kind):
        settled([Edit(kind, tea.id)], tea)


@pytest.mark.parametrize("kind", ["UPDATE", "DELETE", "RESTORE"])
def test_needs_a_fact(kind: Any) -> None:
    """An edit of a fact needs one that is there."""
    for ident in (None, uuid4()):
        with pytest.raises(FactNotFound):
            settled([Edit(kind, ident, draft("x"))], fact("tea"))


def test_versions() -> None:
    """An edit that looked at another version than the one that stands is refused."""
    tea = fact("tea", version=3)
    kinds: tuple[ChangeKind, ...] = ("UPDATE", "DELETE", "RESTORE")
    for kind in kinds:
        with pytest.raises(FactChanged, match="again"):
            settled([Edit(kind, tea.id, draft("x"), version=2)], tea)
        assert settled([Edit(kind, tea.id, draft("x"), version=3)], tea)


def test_versions_within_a_write() -> None:
    """The version that an edit names is the one that the edits before it left."""
    tea = fact("tea")
    with pytest.raises(FactChanged):
        settled([Edit("UPDATE", tea.id, draft("coffee")), Edit("DELETE", tea.id, version=1)], tea)
    assert len(settled([Edit("UPDATE", tea.id, draft("coffee")), Edit("DELETE", tea.id, version=2)], tea)) == 2


def test_deleted_within_a_write() -> None:
    """What an edit has ended cannot be edited by the next, but it can be restored."""
    tea = fact("tea")
    with pytest.raises(FactNotFound):
        settled([Edit("DELETE", tea.id), Edit("UPDATE", tea.id, draft("x"))], tea)
    _, back = settled([Edit("DELETE", tea.id), Edit("RESTORE", tea.id, draft("tea"))], tea)
    assert (back.change.before, back.change.after and back.change.after.version) == (None, 2)


# --- keys and equal statements


def test_key_and_statement_of_two_facts() -> None:
    """A keyed statement that another fact makes without a key takes its place; the key's fact says it now."""
    keyed, plain = fact("tea", key="drink"), fact("coffee")
    results = settled([add("coffee", key="drink")], keyed, plain)
    assert told(results) == [("DELETE", plain.id, None), ("UPDATE", keyed.id, "coffee")]


def test_key_and_statement_of_two_keyed_facts() -> None:
    """A keyed statement that another key holds ends the fact of its own key: one statement, one fact."""
    drink, habit = fact("tea", key="drink"), fact("coffee", key="habit")
    results = settled([add("coffee", key="drink")], drink, habit)
    assert told(results) == [("DELETE", drink.id, None), ("NONE", habit.id, "coffee")]


def test_update_to_anothers_key_and_statement() -> None:
    """A fact that comes to say what another says, key and all, is ended: the other says it."""
    plain, keyed = fact("tea"), fact("coffee", key="drink")
    results = settled([Edit("UPDATE", plain.id, draft("coffee", key="drink"))], plain, keyed)
    assert told(results) == [("DELETE", plain.id, None), ("NONE", keyed.id, "coffee")]


def test_update_to_a_key_and_a_statement_of_two_others() -> None:
    """A fact that takes the key of one and the statement of another takes the place of both."""
    mine, keyed, plain = fact("water"), fact("tea", key="drink"), fact("coffee")
    results = settled([Edit("UPDATE", mine.id, draft("coffee", key="drink"))], mine, keyed, plain)
    assert sorted(kind for kind, _, _ in told(results)) == ["DELETE", "DELETE", "UPDATE"]
    assert {ident for kind, ident, _ in told(results) if kind == "DELETE"} == {keyed.id, plain.id}
    assert told(results)[-1] == ("UPDATE", mine.id, "coffee")


def test_sources_join() -> None:
    """The sources of a statement that is said again join the fact that stands."""
    tea = fact("tea")
    (one,) = settled([add("Tea!", sources=MESSAGE)], tea)
    assert (one.change.kind, one.also, one.draft, one.change.sources) == ("NONE", MESSAGE, None, MESSAGE)


@pytest.mark.parametrize(
    ("held", "asked", "equal"),
    [
        ({"kind": "habit"}, {}, True),
        ({"kind": "habit"}, {"kind": "habit"}, True),
        ({"kind": "habit"}, {"kind": "plan"}, False),
        ({}, {"kind": "plan"}, False),
        ({"metadata": {"n": 1}}, {"metadata": {}}, True),
        ({"metadata": {"n": 1}}, {"metadata": {"n": 2}}, False),
        ({"valid_from": BEFORE}, {}, True),
        ({}, {"valid_from": NOW}, False),
        ({"confidence": 0.5}, {"confidence": 0.9}, True),
    ],
)
def test_says(held: dict[str, Any], asked: dict[str, Any], *, equal: bool) -> None:
    """A fact says what a draft does where words are equal, and all that the draft tells about them."""
    assert says(fact("tea", **held), draft("tea", **asked)) == equal
    assert not says(fact("tea", **held), draft("Tea", **asked))


# --- trust


@pytest.mark.parametrize(
    ("held", "asked", "done"), [("user", "tool", False), ("tool", "tool", True), ("tool", "user", True)]
)
def test_trust(held: Trust, asked: Trust, *, done: bool) -> None:
    """Who is less trusted than a fact changes nothing in it; restoring and retracting go by who asks."""
    tea = fact("tea", trust=held, reopened=True)
    for edit in (
        Edit("UPDATE", tea.id, draft("coffee", trust=asked)),
        Edit("DELETE", tea.id, trust=asked),
        Edit("RESTORE", tea.id, draft("coffee", trust="user"), trust=asked),
        Edit("UPDATE", tea.id, draft("tea", trust=asked)),
    ):
        (one,) = settled([edit], tea)
        assert (one.change.kind != "NONE") == done
        assert (one.change.after == tea) == (not done)


def test_a_person_restores_the_word_of_a_tool() -> None:
    """Whose word a restored version is does not matter: a person asked for it."""
    mine = fact("tea", trust="user", version=2)
    (one,) = settled([Edit("RESTORE", mine.id, draft("coffee", trust="tool"))], mine)
    assert one.change.after is not None
    assert (one.change.kind, one.change.after.trust) == ("RESTORE", "tool")


def test_trust_of_whom_it_would_displace() -> None:
    """Who is less trusted displaces no other fact either, by its key or by its statement."""
    mine, theirs = fact("water", trust="tool"), fact("tea", key="drink", trust="user")
    (one,) = settled([Edit("UPDATE", mine.id, draft("coffee", key="drink", trust="tool"))], mine, theirs)
    assert (one.change.kind, one.change.fact) == ("NONE", theirs.id)
    plain = fact("coffee", trust="user")
    results = settled([Edit("UPDATE", mine.id, draft("coffee", key="new", trust="tool"))], mine, plain)
    assert told(results) == [("DELETE", mine.id, None), ("NONE", plain.id, "coffee")]
    (one,) = settled([Edit("RESTORE", mine.id, draft("coffee"), trust="tool")], mine, plain)
    assert one.change.kind == "NONE"


# --- rejections


def test_rejected() -> None:
    """What was rejected is neither added, nor said by an update, nor restored."""
    tea = fact("tea")
    rejected = hashes(b"s", "coffee", None)
    for edit in (
        add("coffee"),
        add("coffee", key="k"),
        Edit("UPDATE", tea.id, draft("coffee")),
        Edit("RESTORE", tea.id, draft("coffee")),
    ):
        (one,) = settled([edit], tea, rejected=rejected)
        assert (one.change.kind, one.draft, one.lift) == ("NONE", None, ())
        *_, one = settled([edit], tea, rejected=rejected, explicit=True)
        assert (one.change.kind, one.lift) == (edit.kind, rejected)
        assert "lifted" in one.change.reason


def test_rejected_within_a_write() -> None:
    """What an edit rejects is not learned by the next one, but a person may say it again."""
    tea = fact("tea")
    edits = [Edit("DELETE", tea.id, reject=hashes(b"s", "tea", None)), add("tea")]
    assert [kind for kind, _, _ in told(settled(edits, tea))] == ["DELETE", "NONE"]
    gone, back = settled(edits, tea, explicit=True)
    assert (gone.reject, back.change.kind, back.lift) == (hashes(b"s", "tea", None), "ADD", gone.reject)


def test_lifted_once() -> None:
    """A rejection that one edit has lifted does not stand in the way of the next."""
    rejected, tea = hashes(b"s", "tea", None), uuid4()
    edits = [Edit("ADD", tea, draft("tea")), Edit("DELETE", tea), add("tea")]
    one, _, two = settled(edits, rejected=rejected, explicit=True)
    assert (one.lift, two.lift, two.change.kind) == (rejected, (), "ADD")


def test_corrected_spelling_is_not_rejected() -> None:
    """Hashes of what stands after an edit are not rejected by it."""
    tea = fact("TEA")
    old = hashes(b"s", "TEA", None)
    (one,) = settled([Edit("UPDATE", tea.id, draft("tea"), reject=old)], tea, explicit=True)
    assert (one.change.kind, one.reject) == ("UPDATE", ())
    (one,) = settled([Edit("UPDATE", tea.id, draft("TEA"), reject=old)], tea, explicit=True)
    assert (one.change.kind, one.reject) == ("NONE", ())


def test_rejected_once() -> None:
    """An edit that comes to several changes rejects once."""
    tea, coffee = fact("tea"), fact("coffee")
    old = hashes(b"s", "tea", None)
    results = settled([Edit("UPDATE", tea.id, draft("coffee"), reject=old)], tea, coffee, explicit=True)
    assert [one.reject for one in results] == [old, ()]
    keyed = fact("water", key="drink")
    for edit in (
        Edit("UPDATE", tea.id, draft("milk", key="drink"), reject=old),
        Edit("RESTORE", tea.id, draft("milk", key="drink"), reject=old),
    ):
        results = settled([edit], tea, keyed, explicit=True)
        assert [one.reject for one in results] == [old, ()]


def test_the_less_trusted_reject_nothing() -> None:
    """Where trust forbids an edit, it rejects nothing."""
    tea = fact("tea")
    (one,) = settled([Edit("DELETE", tea.id, reject=(b"x",), trust="tool")], tea)
    assert (one.change.kind, one.reject) == ("NONE", ())


# --- re-opened facts


def test_said_again_while_reopened() -> None:
    """A re-opened fact that is said again begins a version on what was said, with what it told of itself."""
    tea = fact("tea", kind="habit", key="k", metadata={"n": 1}, reopened=True)
    (one,) = settled([add("Tea", sources=MESSAGE)], tea)
    after = one.change.after
    assert after is not None
    assert (one.change.kind, after.version, after.reopened, after.kind) == ("UPDATE", 2, False, "habit")
    assert (after.key, after.metadata, one.draft and one.draft.sources) == ("k", {"n": 1}, MESSAGE)


def test_said_again_by_the_less_trusted_while_reopened() -> None:
    """A re-opened fact stays so where it is said again by whom it does not trust."""
    tea = fact("tea", reopened=True)
    (one,) = settled([add("tea", trust="tool", sources=MESSAGE)], tea)
    assert (one.change.kind, one.also) == ("NONE", MESSAGE)


# --- restoring


def test_restore_exactly() -> None:
    """A restoration gives a fact every field of what it is given, also those that are empty."""
    new = fact("tea", kind="habit", key="k", confidence=0.5, version=2)
    old = draft("tea", sources=MESSAGE)
    (one,) = settled([Edit("RESTORE", new.id, old)], new)
    after = one.change.after
    assert after is not None
    assert (one.change.kind, after.version, after.kind, after.key, after.confidence) == ("RESTORE", 3, "", None, 1.0)


def test_restore_what_stands() -> None:
    """A restoration to what stands already, in every field, is none."""
    tea = fact("tea", kind="habit", metadata={"n": [1]}, confidence=0.5, trust="tool")
    (one,) = settled([Edit("RESTORE", tea.id, draft_of(tea, MESSAGE))], tea)
    assert one.change.kind == "NONE"


def test_restore_displaces() -> None:
    """A restored fact takes the place of those that have its key or its statement now."""
    old, keyed, plain = uuid4(), fact("coffee", key="drink"), fact("tea")
    results = settled([Edit("RESTORE", old, draft("tea", key="drink"))], keyed, plain, last={old: 4})
    assert told(results) == [("DELETE", keyed.id, None), ("DELETE", plain.id, None), ("RESTORE", old, "tea")]
    assert results[-1].change.after is not None
    assert results[-1].change.after.version == 5


# --- there and back


def test_draft_of_a_fact() -> None:
    """The draft of a fact makes an equal fact again."""
    tea = fact(
        "tea", subject="Ada", kind="habit", key="k", valid_from=BEFORE, valid_to=NOW, expires_at=NOW,
        confidence=0.5, trust="tool", metadata={"n": 1},
    )  # fmt: skip
    assert fact_of(draft_of(tea, ()), tea.id, tea.version, tea.owner, tea.recorded_at) == tea
