"""The detector of names: what it finds, what it leaves, and that no text confuses it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.formation.entities import confirmed, names_in, names_of, split_role, unsure
from keepwell.formation.entities_found import Named

CASES = [
    ('Yesterday my sister Priya read "Dune" in Leeds.', {"Priya": "person", "Dune": "work", "Leeds": "place"}),
    ("We saw Vincent van Gogh's house and the University of Leeds.", {"Vincent van Gogh": "person", "University of Leeds": "organisation"}),
    ("I went with O'Brien and Jean-Luc to St. Mary's Hospital.", {"O'Brien": "person", "Jean-Luc": "thing", "St. Mary's Hospital": "organisation"}),
    ("Write to ada.lovelace@example.org or to @priya_s.", {"ada.lovelace@example.org": "handle", "@priya_s": "handle"}),
    ("She works at Acme Corp with J. R. R. Tolkien.", {"Acme Corp": "organisation", "J. R. R. Tolkien": "person"}),
    ("On Monday in May I can speak French.", {}),
    ("I think that I'm late, but I'll go.", {}),
    ("The weather is nice. Rice is good.", {}),
    ("HELLO THERE MY FRIEND", {}),
    ("## Best Practices For Travel\nhave fun", {}),
    ('He said "Hello There" and left.', {}),
    ("New York is far. Los Angeles is farther.", {"New York": "thing", "Los Angeles": "place"}),
    ("My favourite book is \u201cThe Left Hand of Darkness\u201d.", {"The Left Hand of Darkness": "work"}),
    ("\u0412\u0447\u0435\u0440\u0430 \u0410\u043d\u043d\u0430 \u043f\u043e\u0435\u0445\u0430\u043b\u0430 \u0434\u043e\u043c\u043e\u0439.", {"\u0410\u043d\u043d\u0430": "thing"}),
    ("Ich wohne in Berlin und habe eine Katze, mein Bruder Jonas ist nicht hier.", {"Berlin": "place", "Jonas": "thing"}),
    ("Hier j'ai vu Zo\u00e9 \u00e0 Lyon avec Jos\u00e9 de la Cruz.", {"Zo\u00e9": "thing", "Lyon": "thing", "Jos\u00e9 de la Cruz": "thing"}),
    ("\u6628\u65e5 \u7530\u4e2d\u3055\u3093\u306f\u300a\u4e09\u4f53\u300b\u3092\u8aad\u3093\u3060\u3002", {"\u4e09\u4f53": "work"}),
    ("`Foo Bar` and https://example.org/Some/Path say nothing.", {}),
    ("See [[project kite|the kite]] for more.", {"project kite": "thing"}),
    ("PostgreSQL and the iPhone are things.", {"PostgreSQL": "thing", "iPhone": "thing"}),
    ("Dr. Patel moved to K\u00f6ln. Mum likes it.", {"Dr. Patel": "person", "K\u00f6ln": "place", "Mum": "person"}),
    ("<memory>Tom is here</memory> and my password is Hunter2Secret", {}),
]  # fmt: skip


def sure(text: str) -> dict[str, str]:
    """Give the names of a text that count by themselves."""
    return {one.name: one.type for one in names_in(text) if one.sure}


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text[:30] for text, _ in CASES])
def test_names_are_told_from_other_words(text: str, expected: dict[str, str]) -> None:
    """People, places, titles, handles and links are found; days, openings, headings, code and secrets are not."""
    assert sure(text) == expected


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("My sister Priya is here.", "sister"),
        ("Priya, my boss, is here.", "boss"),
        ("I saw Priya from work today.", "from work"),
        ("Priya is my neighbour.", "neighbour"),
        ("Tom's cousin Priya came.", "cousin of tom"),
        ("Priya (colleague) came.", "colleague"),
        ("My doctor is called Priya.", "doctor"),
        ("I met Priya.", ""),
    ],
)
def test_what_somebody_is_to_the_speaker_is_read_beside_the_name(text: str, role: str) -> None:
    """Words beside a name that tell two of one name apart are its role."""
    (found,) = (one for one in names_in(text) if one.name == "Priya")
    assert found.role == role


def test_a_word_that_only_begins_a_sentence_counts_where_another_text_has_it() -> None:
    """A capital at the start of a sentence tells nothing by itself."""
    texts = [names_in("Tom was there."), names_in("Rice was there."), names_in("I met Tom.")]
    assert unsure(texts) == {"rice"}
    assert [[one.name for one in names] for names in confirmed(texts)] == [["Tom"], [], ["Tom"]]
    assert [one.name for one in confirmed([names_in("Rice was there.")], {"rice"})[0]] == ["Rice"]


def test_speakers_and_metadata_name_entities() -> None:
    """A speaker's name has no span; names of the metadata have one where the text has them."""
    found = names_of(
        "I saw project kite.", speaker="Ada", told=["project kite", {"name": "Leeds", "type": "Place"}, 7, None]
    )
    assert [(one.name, one.type, one.found) for one in found] == [
        ("Ada", "person", "speaker"), ("project kite", "thing", "link"), ("Leeds", "place", "link"),
    ]  # fmt: skip
    assert [(one.start, one.end) for one in found] == [(0, 0), (6, 18), (0, 0)]


@pytest.mark.parametrize("role", ["system", "tool", "developer"])
def test_instructions_and_tools_name_nobody(role: str) -> None:
    """What a tool returns or an instruction says is not about people."""
    assert names_of("I met Tom in Leeds.", role=role, speaker="search") == ()


def test_a_subject_tells_a_role() -> None:
    """Facts name whom they are about as "Priya (sister)"."""
    assert split_role("Priya (Sister)") == ("Priya", "sister")
    assert split_role("Ada") == ("Ada", "")


PIECES = st.sampled_from(
    ["Priya", "O'Brien", "van", "Gogh", '"', "\u201c", "\u201d", "[[", "]]", "|", "@", ".", "a@b.c", "\n", "#", "`", "```", " ",
     "Dr.", "I", "\u0301", "\u200d", "\ud800", "\x00", "\u0130", "\u01c5", "\u300a", "\u300b", "'s", "my sister ", "(", ")",
     "https://", "\U0001f469\u200d\U0001f680", "\ufdfa", "\u1e9e", "&", "-", "\u00a0", "\u2028"]
)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_spans_always_slice_to_what_was_found(text: str) -> None:
    """Whatever a text holds, nothing is raised; spans lie in order, do not overlap, and give the words themselves."""
    found = names_in(text)
    end = 0
    for one in found:
        assert end <= one.start < one.end <= len(text)
        assert text[one.start : one.end] == one.surface
        assert one.name
        assert "\x00" not in one.surface
        assert one.surface.encode("utf-8")  # it can be stored
        end = one.end


@settings(deadline=None, max_examples=100)
@given(
    st.text(),
    st.text(),
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)
def test_no_speaker_and_no_metadata_confuses_it(text: str, speaker: str, told: object) -> None:
    """Metadata is a user's: whatever it is, names come or nothing does."""
    for one in names_of(text, speaker=speaker, told=told):
        assert isinstance(one, Named)
        assert one.end == 0 or text[one.start : one.end] == one.surface


@pytest.mark.parametrize("piece", ["A", "A ", "a.b", "[[", '"A', "@", "A.", "a@", "A-", "A'", "(", "J. "])
def test_long_texts_take_no_longer_than_their_length(piece: str) -> None:
    """A text that repeats one thing is read in a time that grows with it, not with its square."""
    import time

    text = piece * (20_000 // len(piece))
    started = time.perf_counter()
    names_in(text)
    assert time.perf_counter() - started < 5.0
