"""What was changed can be read, compared and taken back: over histories that nobody thought of."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keepwell import Change, Changes, Fact, Memory, Message, ScopedMemory
from keepwell.errors import ChangeNotFound, FactNotFound, InvalidQuery, UsageError
from keepwell.formation.settle import fingerprint
from keepwell.testing import ReferenceStore

WORDS = ("tea", "coffee", "mate", "milk")
Held = dict[UUID, tuple[object, ...]]
_names = (f"{number}-history" for number in itertools.count())


@pytest.fixture
def ada(memory: Memory) -> ScopedMemory:
    """Give Ada's view."""
    return memory.scope(user_id="ada")


def said(fact: Fact) -> tuple[object, ...]:
    """Give all that a fact says, whatever version says it."""
    times = (fact.valid_from, fact.valid_to, fact.expires_at)
    return fact.owner, fact.text, fact.key, fact.subject, fact.kind, *times, dict(fact.metadata), fact.reopened


def held(view: ScopedMemory, **options: Any) -> Held:
    """Give what is held to be true."""
    return {fact.id: said(fact) for fact in view.facts(limit=1000, **options)}


# --- any change of any history can be taken back

_steps = st.lists(
    st.tuples(
        st.sampled_from(["remember", "remember", "key", "from", "correct", "retract", "restore", "revert"]),
        st.sampled_from(WORDS),
        st.integers(0, 7),
        st.sampled_from(["", "", "cook"]),
    ),
    min_size=1,
    max_size=14,
)


def take(view: ScopedMemory, step: tuple[str, str, int, str]) -> None:
    """Do one thing to the facts, where it can be done."""
    verb, word, number, agent = step
    known = [*view.facts(limit=1000)]
    old = list(dict.fromkeys(change.fact for change in reversed(view.history(limit=1000))))
    writer = view.memory.scope(user_id=view.user_id, agent_id=agent) if agent else view
    text = f"Ada likes {word} {number % 3}"
    one = known[number % len(known)] if known else None
    match verb:
        case "remember":
            writer.remember(text, metadata={"n": number} if number % 2 else None)
        case "key":
            writer.remember(text, key=word, subject=str(number % 2))
        case "from" if one is not None:
            grounds = [one, *known[number % 3 :][:1]]
            by = writer if all(writer.scope.covers(ground.owner) for ground in grounds) else view
            # It says what it is from, so that no two facts can come to rest on each other.
            by.remember(f"From {' and '.join(ground.text for ground in grounds)} follows {word}", sources=grounds)
        case "correct" if one is not None:
            view.correct(one, text, kind=word)
        case "retract" if one is not None:
            view.retract(one, reject=number % 2 == 0)
        case "restore" if old:
            view.restore(old[number % len(old)], None if number % 2 else 1)
        case "revert" if old:
            changes = view.history(limit=1000)
            view.revert(changes[number % len(changes)])


def check_taking_back(view: ScopedMemory, steps: list[tuple[str, str, int, str]], pick: int) -> None:
    """Go through a history, then take back: the last step; any one change; everything since any one step."""
    states: list[tuple[dt.datetime, Held]] = []
    for step in steps:
        before = held(view)
        last = len(view.history(limit=1000))
        take(view, step)
        made = view.history(limit=1000)[: len(view.history(limit=1000)) - last]
        if made:
            states.append((min(change.at for change in made), before))
    check_replay(view)
    if not states:
        return
    changes = view.history(limit=1000)
    check_one(view, changes[pick % len(changes)])
    at, before = states[pick % len(states)]
    view.revert(since=at)
    after = held(view)
    # What was to be looked at then may have been put back by a person's word, and stands.
    settled = {ident: (*after[ident][:-1], fact[-1]) for ident, fact in before.items() if ident in after and fact[-1]}
    assert {**after, **settled} == before


def check_replay(view: ScopedMemory) -> None:
    """The facts that stand are those that the history tells of."""
    told: dict[UUID, Fact] = {}
    for change in reversed(view.history(limit=1000)):
        if change.kind == "NONE":
            continue
        told.pop(change.fact, None)
        if change.after is not None:
            told[change.fact] = change.after
    now = {fact.id: fact.version for fact in view.facts(limit=1000)}
    assert {ident: fact.version for ident, fact in told.items()} == now


def check_one(view: ScopedMemory, change: Change) -> None:
    """Taking one change back gives its fact the state before it, and the history tells of it."""
    count = len(view.history(limit=1000))
    now = held(view).get(change.fact)
    done = view.revert(change)
    after = held(view).get(change.fact)
    if change.kind == "NONE":
        assert (len(done), after) == (0, now)
        return
    assert (after and after[:-1]) == (change.before and said(change.before)[:-1])
    assert len(view.history(limit=1000)) == count + len(done)


_VOUCHED_FOR = [  # a fact that a person restored stands without its ground, which comes later and goes again
    *(("remember", "tea", 0, ""), ("correct", "tea", 0, ""), ("from", "tea", 0, ""), ("key", "tea", 0, "")),
    *(("retract", "tea", 0, ""), ("restore", "tea", 1, ""), ("remember", "tea", 0, "")),
]
_GROUNDS_CHANGE_PLACES = [  # one of two that a fact rests on goes, while the other one comes back
    *(("remember", "tea", 1, ""), ("remember", "mate", 2, ""), ("remember", "mate", 2, ""), ("remember", "tea", 1, "")),
    *(("from", "tea", 0, ""), ("remember", "tea", 0, ""), ("remember", "tea", 0, ""), ("from", "tea", 4, "")),
    *(("revert", "tea", 2, ""), ("remember", "tea", 1, ""), ("restore", "tea", 3, "")),
]
_STANDS_ALREADY = [  # a fact that stands by a person's word, and another that rests on it; its own ground comes back
    *(("remember", "tea", 1, ""), ("remember", "coffee", 1, ""), ("from", "tea", 0, ""), ("retract", "tea", 1, "")),
    *(("restore", "tea", 2, ""), ("remember", "tea", 0, ""), ("from", "tea", 1, "")),
]


@given(_steps, st.integers(0, 40))
@example(_STANDS_ALREADY, 4)
@example(_GROUNDS_CHANGE_PLACES, 9)
@example(_VOUCHED_FOR, 6)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_change_can_be_taken_back(steps: list[tuple[str, str, int, str]], pick: int) -> None:
    """Over random histories: after a revert the facts are what they were before what was taken back."""
    with Memory.over(ReferenceStore(), name=next(_names)) as memory:
        check_taking_back(memory.scope(user_id="ada"), steps, pick)


@given(_steps, st.integers(0, 40))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_any_change_can_be_taken_back_in_postgresql(
    memory: Memory, steps: list[tuple[str, str, int, str]], pick: int
) -> None:
    """The same in the database."""
    check_taking_back(memory.scope(user_id=f"ada-{uuid4().hex}"), steps, pick)


# --- what revert names


def test_a_later_change_to_the_same_fact_goes_with_it_and_is_named(ada: ScopedMemory) -> None:
    """Taking back what is not the last change undoes what came after it on that fact, and says so."""
    tea = ada.remember("Ada drinks tea", key="drink")
    coffee = ada.remember("Ada drinks coffee", key="drink")
    ada.remember("Ada drinks mate", key="drink")
    other = ada.remember("Ada has a cat")
    update = ada.history(coffee)[1]
    later = ada.history(coffee)[0]
    (change,) = ada.revert(update)
    assert ada.fact(tea.id).text == "Ada drinks tea"
    assert str(update.id) in change.reason
    assert str(later.id) in change.reason.partition("later")[2]
    assert ada.fact(other.id).version == 1


def test_what_a_change_caused_is_taken_back_with_it(ada: ScopedMemory) -> None:
    """What fell with a fact comes back with it, and rests on it again."""
    home = ada.remember("Ada lives in Rome")
    sea = ada.remember("Ada lives in a capital", sources=home)
    further = ada.remember("Ada lives where a government is", sources=sea)
    gone = ada.retract(home, why="wrong")
    assert held(ada) == {}
    assert {change.actor for change in ada.history(further)} == {"cascade", "user"}
    ada.revert(gone.id)
    assert {fact.text for fact in ada.facts()} == {home.text, sea.text, further.text}
    assert not any(fact.reopened for fact in ada.facts())
    assert ada.sources(sea.id).facts[0].version == ada.fact(home.id).version
    ada.retract(home.id)
    assert held(ada) == {}


def test_what_was_reopened_stands_again_when_its_ground_does(ada: ScopedMemory) -> None:
    """A fact whose source was superseded is left out of recall until that is taken back."""
    home = ada.remember("Ada lives in Rome", key="home")
    said_so = ada.thread("t").append(Message.user("The sea is far."))[0]
    far = ada.remember("Ada lives far from the sea", sources=[home, said_so])
    moved = ada.remember("Ada lives in Oslo", key="home")
    assert ada.fact(far.id).reopened
    assert far.text not in [found.text for found in ada.recall("sea", kinds=("fact",))]
    ada.revert(ada.history(moved)[0])
    assert not ada.fact(far.id).reopened
    assert far.text in [found.text for found in ada.recall("sea", kinds=("fact",))]


def test_everything_that_an_agent_a_run_or_an_actor_did_goes_at_once(memory: Memory) -> None:
    """Changes are chosen by whose facts they made, by who made them and since when."""
    ada = memory.scope(user_id="ada")
    cook = memory.scope(user_id="ada", agent_id="cook", run_id="r1")
    ada.remember("Ada is a pilot")
    cook.remember("Ada eats fish")
    cook.remember("Ada eats rice")
    since = dt.datetime.now(dt.UTC)
    cook.remember("Ada eats bread")
    ada.revert(agent_id="cook", since=since)
    assert {fact.text for fact in ada.facts()} == {"Ada is a pilot", "Ada eats fish", "Ada eats rice"}
    ada.revert(run_id="r1")
    assert {fact.text for fact in ada.facts()} == {"Ada is a pilot"}
    ada.revert(actor="user")
    assert held(ada) == {}
    assert len(cook.history()) > 0


def test_a_revert_can_be_reverted(ada: ScopedMemory) -> None:
    """Taking back is itself a change, of one batch."""
    fact = ada.remember("Ada has a cat")
    ada.remember("Ada has a dog")
    done = ada.revert(since=fact.recorded_at)
    assert held(ada) == {}
    assert len({change.batch for change in done}) == 1
    ada.revert(batch=done[0].batch)
    assert {fact.text for fact in ada.facts()} == {"Ada has a cat", "Ada has a dog"}


def test_what_is_as_it_was_is_not_changed(ada: ScopedMemory) -> None:
    """Reverting what was taken back by hand does nothing."""
    fact = ada.remember("Ada has a cat")
    gone = ada.retract(fact)
    ada.restore(fact)
    count = len(ada.history())
    assert ada.revert(gone) == Changes()
    assert len(ada.history()) == count


def test_revert_of_nothing_is_refused(ada: ScopedMemory, memory: Memory) -> None:
    """What is not named, is not there, or belongs to somebody else is not taken back."""
    bobs = memory.scope(user_id="bob").history(memory.scope(user_id="bob").remember("Bob is Bob"))[0]
    with pytest.raises(UsageError):
        ada.revert()
    for unknown in ({"change": uuid4()}, {"change": bobs}, {"batch": bobs.batch}, {"actor": "nobody"}):
        with pytest.raises(ChangeNotFound):
            ada.revert(**unknown)
    with pytest.raises(UsageError):
        ada.revert("not an id")
    assert memory.scope(user_id="bob").fact(bobs.fact).stands


# --- history and diff


def test_history_goes_by_pages_and_by_time(ada: ScopedMemory) -> None:
    """Changes come newest first; a page goes on where the one before ended, and times bound it."""
    facts = [ada.remember(f"Fact {number}") for number in range(5)]
    seen, after = [], None
    while True:
        page = ada.history(limit=2, after=after)
        seen += [change.after.text for change in page if change.after]
        if (after := page.next) is None:
            break
    assert seen == [f"Fact {number}" for number in (4, 3, 2, 1, 0)]
    assert len(ada.history(since=facts[2].recorded_at)) == 3
    assert len(ada.history(until=facts[2].recorded_at)) == 2
    assert [change.fact for change in ada.history(str(facts[1].id))] == [facts[1].id]
    with pytest.raises(InvalidQuery):
        ada.history(limit=0)
    with pytest.raises(FactNotFound):
        ada.fact(uuid4())


def test_diff_tells_two_moments_apart(ada: ScopedMemory) -> None:
    """What came, what went and what says something else, from one instant to another and back."""
    gone = ada.remember("Ada has a cat")
    home = ada.remember("Ada lives in Rome", key="home")
    then = dt.datetime.now(dt.UTC)
    ada.retract(gone)
    ada.remember("Ada lives in Oslo", key="home")
    new = ada.remember("Ada has a dog")
    found = ada.diff(then)
    assert ([f.text for f in found.added], [f.text for f in found.removed]) == (["Ada has a dog"], ["Ada has a cat"])
    assert [(old.text, now.text) for old, now in found.changed] == [("Ada lives in Rome", "Ada lives in Oslo")]
    backwards = ada.diff(dt.datetime.now(dt.UTC), then)
    assert ([f.text for f in backwards.added], [f.id for f in backwards.removed]) == (["Ada has a cat"], [new.id])
    assert not ada.diff(then, then)
    assert home.id == found.changed[0][0].id


def test_reasons_hold_no_words_of_facts(ada: ScopedMemory) -> None:
    """What taking back writes into the history names changes by number, so that forgetting reaches all words."""
    secret = ada.remember("Ada's word is xylophone")
    ada.revert(ada.history(secret)[0])
    assert all("xylophone" not in change.reason for change in ada.history())
    assert fingerprint(secret.text) != b""
