"""The ranking, over arrays alone."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.scopes import DAY, Said, columns, whole

from keepwell.recall.arrays import Delta, Ints, Mark, MessageColumns, VectorColumns
from keepwell.recall.asking import ask
from keepwell.recall.features import cheap, features
from keepwell.recall.linked import Linked
from keepwell.recall.meeting import rare, texts_of
from keepwell.recall.rank import Ranker, chat_of, rank
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.weights import Chat, Ranking, Space, weights
from keepwell.recall.words import Words

NOW = 400 * DAY
TALK: list[Said] = [
    ("spring", "Ann", "I adopted a beagle last week, he is called Rufus."),
    ("spring", "Bob", "How lovely! What does he eat?"),
    ("spring", "Ann", "Mostly dry biscuits."),
    ("summer", "Bob", "I adopted a parrot last week, she is called Coco."),
    ("summer", "Ann", "Then we both have company now."),
    ("autumn", "Ann", "My violin needs new strings."),
]
NONE = Ranker("learned", "none")


def _found(said: list[Said], text: str, limit: int = 10, **options: object) -> list[str]:
    snapshot = Snapshot(whole(columns(said)))
    hits = rank(snapshot, ask(text, snapshot.speakers(), NOW), limit, **{"ranker": NONE, **options})  # type: ignore[arg-type]
    return [said[hit.key - 1][2] for hit in hits]


@pytest.mark.parametrize("ranking", ["learned", "hand"])
def test_the_person_who_is_named_comes_first(ranking: Ranking) -> None:
    """Of two who adopted something, the one whom the question names is meant."""
    ranker = replace(NONE, ranking=ranking)
    assert _found(TALK, "What did Bob adopt?", ranker=ranker)[0] == TALK[3][2]
    assert _found(TALK, "What did Ann adopt?", ranker=ranker)[0] == TALK[0][2]


GROUP: list[Said] = [
    ("group", "Zo\u00eb", "I love the pastries of the bakery on the corner."),
    ("group", "Ann", "Did you hear? Zo\u00eb is moving to Porto in the spring."),
    ("group", "Bob", "I am moving my piano to the attic."),
    ("group", "Zo\u00eb", "Where shall we eat tonight?"),
    ("work", "Ann", "The printer is broken again."),
    ("work", "Bob", "I shall call somebody."),
    ("trains", "Zo\u00eb", "My train was late, as it is each Monday."),
    ("trains", "Bob", "Mine as well."),
]


@pytest.mark.parametrize("thread", ["group", "elsewhere"])
def test_what_others_tell_of_a_person_counts_as_what_she_says(thread: str) -> None:
    """Of somebody who is asked about, others may tell: in a group with her, or where she is not."""
    said = [(thread if at == 1 else talk, actor, text) for at, (talk, actor, text) in enumerate(GROUP)]
    assert _found(said, "Where is Zo\u00eb moving to?")[0] == GROUP[1][2]


def test_a_name_by_which_one_is_spoken_to_tells_nothing() -> None:
    """Where two talk, the name of the other in a message does not make it one about her; in a group it does."""
    pair: list[Said] = [
        ("t", "Zo\u00eb", "Hello."),
        ("t", "Ann", "Zo\u00eb, my sister is moving."),
        ("u", "Bob", "Yes."),
    ]
    for said, about in ((pair, [1, 0, 0]), ([*pair, ("t", "Bob", "When?")], [1, 1, 0, 0])):
        snapshot = Snapshot(whole(columns(said)))
        question = ask("Where is Zo\u00eb moving to?", snapshot.speakers(), NOW)
        assert cheap(snapshot, question).speaker.tolist() == about


def test_nothing_is_found_where_no_word_speaks() -> None:
    """A question none of whose words was ever said has no answer without vectors."""
    assert _found(TALK, "quantum chromodynamics") == []


def test_the_newest_come_where_nothing_can_be_asked() -> None:
    """A question without a word in it gives what was said last, newest first."""
    assert _found(TALK, "?!", limit=2) == [TALK[5][2], TALK[4][2]]


def test_only_what_is_allowed_is_given() -> None:
    """Rows that a filter leaves out do not come, however well they fit."""
    allowed = np.array([False, True, True, True, True, True])
    assert TALK[0][2] not in _found(TALK, "What did Ann adopt?", allowed=allowed)


def test_scores_are_shares_of_one_and_sorted() -> None:
    """Every score lies between 0 and 1, and the best comes first."""
    snapshot = Snapshot(whole(columns(TALK)))
    hits = rank(snapshot, ask("Rufus the beagle biscuits", snapshot.speakers(), NOW), 10, ranker=NONE)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)


def test_a_score_means_the_same_in_a_larger_scope() -> None:
    """What fits a question well scores above what fits another one badly, whatever the rest of the scope."""
    noise: list[Said] = [(f"t{n // 9}", "Bob", f"item {n} of shelf {n % 7}") for n in range(300)]
    snapshot = Snapshot(whole(columns([*TALK, *noise])))
    good = rank(snapshot, ask("What does Ann's violin need?", snapshot.speakers(), NOW), 1, ranker=NONE)[0].score
    poor = rank(snapshot, ask("Which strings theory conference was best?", snapshot.speakers(), NOW), 1, ranker=NONE)
    assert not poor or good > poor[0].score


def test_an_explained_hit_tells_what_each_source_gave() -> None:
    """Each source that spoke has a share, and its rank where that is asked for."""
    snapshot = Snapshot(whole(columns(TALK)))
    question = ask("When did Ann adopt a beagle?", snapshot.speakers(), NOW)
    (hit,) = rank(snapshot, question, 1, ranker=NONE, explain=True)
    assert {"keyword", "speaker", "time"} <= hit.shares.keys()
    assert hit.ranks["keyword"] == 1
    assert hit.shares["speaker"] > 0


def test_names_gate_the_kind_of_chat() -> None:
    """People with names talk with each other; a user and an assistant do not, whatever the user is called."""
    assert chat_of(Snapshot(whole(columns(TALK)))) == "people"
    roles = [(thread, "user" if actor == "Ann" else "assistant", text) for thread, actor, text in TALK]
    assert chat_of(Snapshot(whole(columns(roles)))) == "assistant"
    mixed = [(thread, "Ann" if n % 2 else "assistant", text) for n, (thread, _, text) in enumerate(TALK)]
    assert chat_of(Snapshot(whole(columns(mixed)))) == "assistant"


def test_what_was_said_on_a_named_day_comes_first() -> None:
    """A date in the question is found among the dates of the messages."""
    start = 19_000 * DAY
    said: list[Said] = [(f"t{n}", "Ann", "we ate soup together") for n in range(40)]
    snapshot = Snapshot(whole(columns(said, start=start)))
    day = np.datetime64(19_020, "D").astype(object)
    question = ask(f"What soup did Ann eat on {day:%B} {day.day}, {day.year}?", snapshot.speakers(), start + 99 * DAY)
    keys = [hit.key for hit in rank(snapshot, question, 3, ranker=NONE)]
    assert set(keys) == {20, 21, 22}


def test_the_answer_to_a_question_is_found_by_the_question() -> None:
    """A message with none of the words comes along when the one before it asked them."""
    assert TALK[2][2] in _found(TALK, "What does Rufus eat?", limit=3)


def test_words_that_mean_about_the_same_are_met() -> None:
    """With vectors of words, a violin answers for an instrument; without, it does not."""
    near = {"instrument": [1.0, 0.1], "violin": [1.0, 0.2]}
    words = Words(lambda terms: np.array([near.get(term, [0.0, 0.0]) for term in terms], np.float32))
    snapshot = Snapshot(whole(columns(TALK)))
    question = ask("Which instrument?", snapshot.speakers(), NOW)
    rows = np.arange(len(TALK))
    soft = features(snapshot, question, cheap(snapshot, question), rows, names=["soft"], words=words)["soft"]
    hard = features(snapshot, question, cheap(snapshot, question), rows, names=["soft"])["soft"]
    assert soft.argmax() == 5
    assert soft.max() > 0.9
    assert not hard.any()


def test_what_is_seldom_said_tells_more() -> None:
    """A message with a word that no other has is told apart from one whose words all have, and from an empty one."""
    said: list[Said] = [
        ("t", "Ann", "soup and bread"),
        ("t", "Bob", "bread and soup"),
        ("t", "Ann", "soup with saffron"),
    ]
    snapshot = Snapshot(whole(columns([*said, ("t", "Bob", "?!"), ("t", "Ann", "soup and bread")])))
    rows = np.array([4, 3, 2, 0])
    told = rare(texts_of(snapshot, rows, rows - 1)).tolist()
    assert told[2] > 2 * told[0] > 0
    assert told[0] == told[3]
    assert told[1] == 0


def test_what_a_question_has_in_common_with_everything_is_taken_out() -> None:
    """A vector that lies along the mean of many tells nothing apart."""
    chance = np.random.default_rng(5)
    common = np.array([3, *[0] * 15], np.float32)
    matrix = (common + chance.normal(size=(501, 16))).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    said: list[Said] = [("t", "Ann", f"word{n}") for n in range(500)]
    snapshot = Snapshot(whole(columns(said), matrix[:500]))
    question = replace(ask("nothing", snapshot.speakers(), NOW), vector=matrix[500])
    assert float((matrix[:500] @ matrix[500]).mean()) > 0.2
    assert abs(float(cheap(snapshot, question).cosine.mean())) < 0.1


def test_a_snapshot_that_grew_ranks_as_one_that_was_loaded_whole() -> None:
    """Additions, replacements and removals leave the scores that a fresh loading gives."""
    chance = random.Random(4)
    vocabulary = [f"word{n}" for n in range(80)]
    said: list[Said] = [
        (f"t{n // 12}", "Ann" if n % 3 else "Bob", " ".join(chance.choices(vocabulary, k=7))) for n in range(500)
    ]
    matrix = np.random.default_rng(1).normal(size=(500, 8)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    all_of_it = columns(said)
    parts = [slice(0, 200), slice(200, 203), slice(203, 500)]
    grown = Snapshot(whole(_part(all_of_it, parts[0]), matrix[parts[0]]))
    for part in parts[1:]:
        vectors = VectorColumns(all_of_it.keys[part], matrix[part])
        grown.update(Delta(full=False, mark=Mark("", "", 0), messages=_part(all_of_it, part), vectors=vectors))
    gone = np.array([3, 210, 450])
    grown.update(Delta(full=False, mark=Mark("", "", 0), removed=gone))
    left = np.setdiff1d(np.arange(500), gone - 1)
    fresh = Snapshot(whole(_part(all_of_it, left), matrix[left]))
    for text in ("word1 word2 Ann", "what word9 in May", "Bob word77 word12 word3"):
        question = replace(ask(text, fresh.speakers(), NOW), vector=matrix[7])
        one, other = (
            {hit.key: hit.score for hit in rank(snapshot, question, 30, ranker=Ranker())} for snapshot in (grown, fresh)
        )
        assert one == pytest.approx(other, abs=1e-4)


def _part(messages: MessageColumns, rows: slice | Ints) -> MessageColumns:
    def cut(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(np.array(texts, object)[rows])

    return MessageColumns(
        messages.keys[rows],
        messages.threads[rows],
        messages.seqs[rows],
        messages.created[rows],
        messages.recorded[rows],
        messages.retired[rows],
        cut(messages.terms),
        cut(messages.actors),
        cut(messages.signals),
    )


@pytest.mark.parametrize("ranking", ["learned", "hand"])
@pytest.mark.parametrize("chat", ["people", "assistant"])
@pytest.mark.parametrize("space", ["vectors", "static", "none"])
def test_every_set_of_weights_is_there(ranking: Ranking, chat: Chat, space: Space) -> None:
    """For each kind of chat and of vectors there are weights, of features that exist, which rise with the odds."""
    known = weights(ranking, chat, space)
    snapshot = Snapshot(whole(columns(TALK)))
    question = ask("What did Ann adopt?", snapshot.speakers(), NOW)
    columns_of = features(snapshot, question, cheap(snapshot, question), np.arange(3), names=known.names)
    assert set(known.names) <= columns_of.keys()
    assert known.steepness > 0


def test_what_the_graph_alone_leads_to_is_found() -> None:
    """A text of which nothing but a relation speaks comes, with the graph's share."""
    said: list[Said] = [("t", "user", text) for text in ("Otto ran.", "Anna ran.", "The kettle was replaced.")]
    led = Linked(np.array([1], np.int64), np.array([2.0], np.float32), np.array([False]))
    (hit,) = rank(Snapshot(whole(columns(said))), ask("zebra", (), NOW), 10, linked=led, ranker=NONE)
    assert (hit.key, hit.shares["graph"]) == (1, 2.0)


def test_texts_that_name_a_speaker_have_nothing_of_the_graph() -> None:
    """That a text names whom the question names counts where it is nobody who speaks here."""
    said: list[Said] = [("t", "Anna", "Otto ran far."), ("t", "Ben", "I ran far.")]
    led = Linked(np.array([1], np.int64), np.array([0.25], np.float32), np.array([True]))
    snapshot = Snapshot(whole(columns(said)))
    for text, share in (("Did Otto run far?", 0.25), ("Did Ben run far?", 0.0)):
        hits = rank(snapshot, ask(text, snapshot.speakers(), NOW), 10, linked=led, ranker=NONE)
        assert {hit.key: hit.shares.get("graph", 0.0) for hit in hits}[1] == share
