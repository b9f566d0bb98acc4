"""From text to terms, in English and in other languages."""

from __future__ import annotations

import pytest

from keepwell.errors import UsageError
from keepwell.recall.analysis import analyse, analysed, check_language, languages
from keepwell.recall.signals import named_times

ALIKE = [
    ("german", "Die Kinder spielten in den Gärten", "das Kind spielt im Garten"),
    ("german", "ÄPFEL, Straßen", "Apfel Strasse"),
    ("french", "J'ai acheté des chevaux à l'école", "acheter un cheval, l'ecole"),
    ("russian", "Моя сестра любит кошек", "сёстры любили кошек"),
    ("arabic", "المكتبات", "المكتبة"),
    ("arabic", "الكِتَاب", "الكتاب"),
    ("turkish", "IŞIK Ankara'da kitaplar", "ışık Ankara kitap"),
    ("hindi", "लड़के किताबें", "लड़का किताब"),
    ("spanish", "los niños comían manzanas", "un niño come manzana"),
]


@pytest.mark.parametrize(("language", "said", "asked"), ALIKE)
def test_forms_of_a_word_are_one_term(language: str, said: str, asked: str) -> None:
    """A word is met by its other forms, with or without capitals and accents."""
    assert set(analyse(asked, language).split()) & set(analyse(said, language).split())
    assert len(set(analyse(said, language).split()) - set(analyse(asked, language).split())) <= 1


@pytest.mark.parametrize("language", ["english", "simple", "german"])
def test_scripts_without_spaces_give_pairs(language: str) -> None:
    """A part of a Japanese sentence is met whatever the language of the store."""
    assert set(analyse("東京タワー", language).split()) <= set(
        analyse("昨日は東京タワーに行きました", language).split()
    )


def test_simple_stems_nothing() -> None:
    """The configuration without a language folds words, and keeps them whole and all."""
    assert analyse("The Éclairs were eaten", "simple") == "the eclairs were eaten"


def test_vowels_that_are_written_as_marks_stay_in_their_word() -> None:
    """A word of an Indic script is one term in English, too, and not its consonants."""
    assert len(analyse("किताब").split()) == 1


def test_a_text_of_empty_words_keeps_them() -> None:
    """Words that say nothing are left out only where there are others."""
    assert analyse("Wer bist du?", "german")
    assert analyse("Wer ist der Arzt?", "german") == "arzt"


def test_every_language_has_rules() -> None:
    """Each name that is offered can be used, and any other is refused with the list of them."""
    for language in languages():
        assert analyse("Priya 2024", check_language(language))
    assert check_language(" German ") == "german"
    with pytest.raises(UsageError, match="klingon.*german.*simple"):
        check_language("klingon")


def test_signals_name_the_language() -> None:
    """What is kept beside the terms names whose rules made them, where that is not English, and it is no time."""
    assert analysed("nuts on Friday").signals.count("@") == 0
    told = analysed("Nüsse am 2024-05-03", "german").signals
    assert told.endswith(" @german")
    assert named_times(told) == ["d20240503"]
    assert analysed("кошки", "russian").signals.endswith(" @russian")
    assert analysed("...", "german").signals == ""
