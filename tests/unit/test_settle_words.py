"""Statements that say the same, and the hashes under which they are rejected."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keepwell.formation.settle import fingerprint, hashes, normal

SAME = [
    ("Ada's sister is Priya.", "  ada s SISTER is\tpriya"),
    ("Ada likes tea!", "Ada likes tea"),
    ("“Ada” likes *tea*…", "Ada likes tea"),
    ("STRASSE", "straße"),
    ("ﬁne", "fine"),
    ("Café", "Cafe\u0301"),
    ("４２", "42"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("snake_case", "snake case"),
    ("a  b\u00a0c", "a b c"),
]
OTHER = [
    ("Ada writes C", "Ada writes C++"),
    ("Ada writes C", "Ada writes C#"),
    ("it is 5 degrees", "it is -5 degrees"),
    ("it is −5 degrees", "it is 5 degrees"),
    ("version 3.5", "version 3 5"),
    ("at 10:30", "at 1030"),
    ("born 2024-05-17", "born 2024 05 17"),
    ("costs $5", "costs €5"),
    ("5%", "5"),
    ("Ada 😀", "Ada 😢"),
    ("की", "कि"),
    ("ที่", "ที"),
    ("Ada likes tea", "Ada likes no tea"),
    ("été", "ete"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same(one: str, other: str) -> None:
    """Case, spacing, compatibility forms and punctuation do not make another statement."""
    assert normal(one) == normal(other)
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another(one: str, other: str) -> None:
    """Numbers, signs, accents, emoji and vowel signs do."""
    assert fingerprint(one) != fingerprint(other)


@given(st.text())
@example("ΐ")
@example("ͅΑ")
@example("İ")
@example("\ud800")
@example("-1 - 1-1 --1")
@settings(deadline=None)
def test_normal_is_stable(text: str) -> None:
    """The normal form of a normal form is itself, for any text, and never raises."""
    assert normal(normal(text)) == normal(text)


@given(st.text())
@settings(deadline=None)
def test_case_does_not_matter(text: str) -> None:
    """A statement is the same in folded case."""
    assert normal(text.casefold()) == normal(text)


@pytest.mark.parametrize("text", ["!?", "...", " ? ", "\ud800"])
def test_nothing_but_punctuation(text: str) -> None:
    """A statement of punctuation alone says what it says: such statements are not all the same."""
    assert normal(text) == text.strip()
    assert fingerprint("!") != fingerprint("?")


def test_fingerprint_is_short() -> None:
    """A fingerprint has 16 bytes, however long the statement is."""
    assert {len(fingerprint("x" * count)) for count in (0, 1, 100_000)} == {16}


def test_hashes() -> None:
    """A statement has one hash without a key, and with a key one more, which comes first."""
    plain, keyed = hashes(b"s", "Ada likes tea", None), hashes(b"s", "ada LIKES tea.", "drink")
    assert (len(plain), len(keyed)) == (1, 2)
    assert keyed[1:] == plain
    assert keyed[0] not in (*plain, *hashes(b"s", "Ada likes tea", "other"))


def test_hashes_are_keyed() -> None:
    """Under another secret the same statement has another hash, so nobody can guess it by trying words."""
    assert hashes(b"one", "Ada likes tea", "k") != hashes(b"two", "Ada likes tea", "k")
    assert hashes(b"", "", "") != hashes(b"", "", "x")
    assert len(hashes(b"one", "\ud800", None)[0]) == 32


def test_key_and_statement_are_not_mixed_up() -> None:
    """A key that looks like the end of a statement gives another hash than that statement."""
    assert hashes(b"s", "a", "b c")[0] != hashes(b"s", "a b", "c")[0]
