"""What speaks for a message: columns of numbers, a row each, from a scope's arrays and a question.

In two stages: a cheap score of every row, and all features of the few hundred best by it. What each feature is, and
what it was worth when measured, is told in ``docs/explanation/recall.md``.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Flags, Floats, Ints, Statistics
from keepwell.recall.asking import Question
from keepwell.recall.dating import dated, told
from keepwell.recall.meeting import rare, soft, texts_of
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.words import Words

K1, B = 1.5, 0.75
FULL_MATCH = 0.7
"""A message that answers has about this share of what BM25 could give for the question's terms."""
FEW = 400
"""Of fewer rows than this, all are loaded whichever way."""
SHRINK = 20.0
"""Of so many vectors the mean is trusted by half: the mean of one vector is that vector."""
MIN_LEFT = 0.05
"""Of a vector's square at least so much is taken to be its own."""
KEYWORD_SHARE, SPEAKER_SHARE = 0.5, 0.15
"""What relative BM25 and the speaker count in the cheap score, beside the cosine."""
Column = NDArray[np.float32]
_TWO = 2
"""Who talk with each other, and not in a group."""

FEATURES: Mapping[str, str] = {
    "cosine": "with the question, less what it has in common with the whole scope",
    "cosine_before": "that of the message before",
    "cosine_after": "that of the message after",
    "cosine_before_2": "that of the one before the last",
    "cosine_after_2": "that of the one after the next",
    "cosine_human": "the cosine where a human being says it",
    "match": "BM25 as a share of a full match",
    "match_human": "the match where a human being says it",
    "covered": "the share of the question's terms, by idf, that it has",
    "covered_near": "that it or one of its neighbours has",
    "covered_far": "that it or one of the two on each side has",
    "soft": "the share that it has in words that mean about the same",
    "soft_near": "that it has, or the message before",
    "speaker": "it is said by the one whom the question is about",
    "asking": "the share of it that is a question",
    "when": "the question asks when, and it tells a time, briefly",
    "dated": "it was said at a time that the question names, or soon after",
    "told": "it tells of a time that the question names",
    "timed": "it tells a time",
    "names": "names and titles in it",
    "first_person": "it speaks of its speaker",
    "rare": "how seldom the rarest of its words is, among what is ranked",
    "opening": "it is the first of its thread",
    "session": "how well the best of its thread fits",
    "session_listing": "the same where the question asks for several things",
    "answer": "how well the message before fits, if that asked and somebody else answers",
}
"""Every feature and what it says of a message."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the question in a scope: how telling it is, which rows have it, and how often."""

    word: str
    idf: float
    rows: Ints
    counts: Column


@dataclass(frozen=True, slots=True)
class Cheap:
    """Of every row (size,): cosine, relative BM25, whether the one asked about speaks, and a score of these.

    ``full`` is the sum of the terms' idf, ``most`` the idf of a word that nothing has.
    """

    cosine: Column
    match: Column
    speaker: Column
    score: Column
    terms: tuple[Term, ...]
    full: float
    most: float
    among: Flags | None


def cheap(
    snapshot: Snapshot, question: Question, statistics: Statistics | None = None, among: Flags | None = None
) -> Cheap:
    """Give what can be said of every row at little cost; ``among`` says which may answer, where not all may."""
    known = statistics or Statistics(snapshot.size - snapshot.dead, snapshot.length, {})
    terms = tuple(_term(snapshot, word, known) for word in question.terms)
    full = sum(term.idf for term in terms)
    cosine = _cosines(snapshot, question, known, among)
    match = _relative_bm25(snapshot, terms, full, known)
    speaker = _speaks(snapshot, question)
    score = cosine + np.float32(KEYWORD_SHARE) * match + np.float32(SPEAKER_SHARE) * speaker
    return Cheap(cosine, match, speaker, score, terms, full, math.log(1 + (known.messages + 0.5) / 0.5), among)


def _term(snapshot: Snapshot, word: str, known: Statistics) -> Term:
    rows, counts = snapshot.postings(word)
    frequency = known.frequencies.get(word, len(rows))
    idf = math.log(1 + max(0.0, known.messages - frequency + 0.5) / (frequency + 0.5))
    return Term(word, idf, rows, counts)


def _cosines(snapshot: Snapshot, question: Question, known: Statistics, among: Flags | None) -> Column:
    """Give the cosines with the question, less its part along the mean of the scope's vectors.

    What a question has in common with everything that was said tells nothing apart.
    """
    query = question.vector
    if query is None or not snapshot.vectors.serves(query):
        return np.zeros(snapshot.size, np.float32)
    centre, count = _centre(snapshot, known, among)
    norm = float(np.linalg.norm(centre))
    if norm > 0:
        trust = count / (count + SHRINK)
        along = centre / np.float32(norm)
        query = query - along * np.float32(float(query @ along) * trust)
        # Vectors of some models lie close together: what is left of them is taken for the whole.
        left = math.sqrt(max(MIN_LEFT, 1 - trust * min(1.0, norm * norm)))
        query = query / np.float32(max(1e-9, float(np.linalg.norm(query)) * left))
    return snapshot.similarities(query)


def _centre(snapshot: Snapshot, known: Statistics, among: Flags | None) -> tuple[Floats, int]:
    """Give the mean of the vectors: of what may answer where that is little, else of the whole scope.

    The mean of some candidates of a large scope would be that of the answers, and is not used.
    """
    if (snapshot.size - snapshot.dead if among is None else int(among.sum())) < FEW:
        return snapshot.vectors.centre(among)
    if known.centre is not None:
        return known.centre
    centre, count = snapshot.vectors.centre()
    return centre, count if known.messages <= snapshot.size - snapshot.dead else 0


def _relative_bm25(snapshot: Snapshot, terms: tuple[Term, ...], full: float, known: Statistics) -> Column:
    """Give each row's BM25 as a share of a full match of the terms."""
    score = np.zeros(snapshot.size, np.float32)
    average = max(1.0, known.length / max(1, known.messages))
    scale = (K1 + 1) / (FULL_MATCH * full or 1)
    for term in terms:
        if len(term.rows):
            norm = snapshot.lengths.take(term.rows) * np.float32(K1 * B / average)
            norm += np.float32(K1 * (1 - B))
            norm += term.counts
            score[term.rows] += np.float32(term.idf * scale) * term.counts / norm
    return score


def _speaks(snapshot: Snapshot, question: Question) -> Column:
    """Give 1 where the one actor speaks whom the question names, or somebody else speaks of her."""
    codes = [snapshot.actor_codes[actor] for actor in question.who if actor in snapshot.actor_codes]
    if len(codes) != 1:
        return np.zeros(snapshot.size, np.float32)
    speaks: Flags = snapshot.actors[: snapshot.size] == codes[0]
    nobody = snapshot.actor_codes.get("")
    if nobody is not None:  # a fact that names nobody is about its owner
        speaks |= snapshot.actors[: snapshot.size] == nobody
    if question.mentions and len(about := _speaking_of(snapshot, question, speaks)):
        speaks[about] = True
    told: Column = speaks.astype(np.float32)
    return told


def _speaking_of(snapshot: Snapshot, question: Question, speaks: Flags) -> Ints:
    """Give the rows in which others name the one whom the question is about, without talking to her.

    Where two talk with each other, the name of the other is how one is spoken to, and says nothing of what is told:
    to count that as well cost a point of recall where one talks with several, each apart.
    """
    rows = np.unique(np.concatenate([snapshot.having(terms) for terms in question.mentions]))
    if not len(rows):
        return rows
    threads = snapshot.sessions[rows]
    to_her = np.isin(threads, snapshot.sessions[: snapshot.size][speaks])
    if to_her.any() and snapshot.said().people > _TWO:
        to_her &= snapshot.speakers_by_thread()[threads] <= _TWO
    return rows[~to_her]


def features(
    snapshot: Snapshot,
    question: Question,
    first: Cheap,
    rows: Ints,
    *,
    names: Container[str],
    words: Words | None = None,
) -> Mapping[str, Column]:
    """Give features of these rows by name, each (rows,): those that are named, and some that come along."""
    before, after = snapshot.links()
    one, other = before[rows], after[rows]
    around = np.stack([_step(before, one), one, rows, other, _step(after, other)])
    cosine = np.append(first.cosine, np.float32(0))[around]
    columns = {
        "cosine": cosine[2],
        "cosine_before": cosine[1],
        "cosine_after": cosine[3],
        "cosine_before_2": cosine[0],
        "cosine_after_2": cosine[4],
        "match": first.match[rows],
        "speaker": first.speaker[rows],
        **_coverage(snapshot, first, around),
        **_by_thread(snapshot, question, first, rows),
    }
    if "soft" in names or "rare" in names:
        columns |= _by_words(snapshot, first, rows, one, words if "soft" in names else None)
    if "asking" in names or "dated" in names:
        columns |= _by_text(snapshot, question, rows)
        columns["answer"] = _answers(snapshot, first, rows, one)
    if "cosine_human" in names or "match_human" in names:
        human = snapshot.by_humans(rows)
        columns |= {"cosine_human": columns["cosine"] * human, "match_human": columns["match"] * human}
    return columns


def _by_words(snapshot: Snapshot, first: Cheap, rows: Ints, before: Ints, words: Words | None) -> Mapping[str, Column]:
    """Give how the rows' words meet those of the question, and how seldom they are."""
    texts = texts_of(snapshot, rows, before)
    terms, idfs = [term.word for term in first.terms], [term.idf for term in first.terms]
    return {"rare": rare(texts), **soft(snapshot, terms, idfs, texts, words)}


def _by_text(snapshot: Snapshot, question: Question, rows: Ints) -> dict[str, Column]:
    """Give what the texts say of themselves, and of times."""
    none = np.zeros(len(rows), np.float32)
    signals = snapshot.signals(rows)
    timed = (signals.times > 0).astype(np.float32)
    return {
        "asking": signals.asking,
        "when": timed * _brief(snapshot, rows) if question.when else none,
        "dated": dated(question, snapshot.created[rows]) if question.times else none,
        "told": told(question, snapshot, rows) if question.times else none,
        "timed": timed,
        "names": np.minimum(1, signals.names * np.float32(1 / 2)),
        "first_person": np.minimum(1, signals.first_person * np.float32(1 / 3)),
    }


def _brief(snapshot: Snapshot, rows: Ints) -> Column:
    brief: Column = np.exp(snapshot.lengths.take(rows) * np.float32(-1 / 60)).astype(np.float32)
    return brief


def _by_thread(snapshot: Snapshot, question: Question, first: Cheap, rows: Ints) -> dict[str, Column]:
    """Give how well the row's thread fits: the best cheap score in it."""
    session = snapshot.best_of_sessions(first.score, first.among)[snapshot.sessions[rows]]
    return {
        "opening": snapshot.opens(rows),
        "session": session,
        "session_listing": session * np.float32(question.listing),
    }


def _step(links: Ints, rows: Ints) -> Ints:
    return np.where(rows >= 0, links[rows], -1)


def _coverage(snapshot: Snapshot, first: Cheap, around: Ints) -> dict[str, Column]:
    """Give the share of the question's terms, by idf, that a row has alone, with one, and with two on each side."""
    own, near, far = np.zeros((3, around.shape[1]), np.float32)
    has: Flags = np.zeros(snapshot.size + 1, np.bool_)
    for term in first.terms:
        if not len(term.rows):
            continue
        share = np.float32(term.idf / first.full)
        has[term.rows] = True
        there = has[around]
        close = there[1] | there[2] | there[3]
        own += share * there[2]
        near += share * close
        far += share * (close | there[0] | there[4])
        has[term.rows] = False
    return {"covered": own, "covered_near": near, "covered_far": far}


def _answers(snapshot: Snapshot, first: Cheap, rows: Ints, before: Ints) -> Column:
    """Give the cheap score of the message before, where that asks and somebody else answers."""
    asks = (before >= 0) & snapshot.asks(before) & (snapshot.actors[before] != snapshot.actors[rows])
    return np.where(asks, first.score[before], np.float32(0))
