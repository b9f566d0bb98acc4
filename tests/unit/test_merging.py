"""Whether two names are one: by the names and by the company they stand in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.formation.merging import Candidate, Company, decide, score
from keepwell.formation.names import MISSPELT, SHARED, SHORTER, folded, is_shorter, likeness, tidy
from keepwell.models.graph import EntityType


def somebody(key: int, *names: str, kind: EntityType = "person", **company: object) -> Candidate[int]:
    """Give somebody of these names, in this company."""
    return Candidate(key, names, kind, Company(**company))  # type: ignore[arg-type]


SISTER = {"roles": frozenset(["sister"])}
WORK = {"roles": frozenset(["from work"])}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Priya", "PRIYA", 1.0),
        ("Zo\u00eb", "Zoe\u0308", 1.0),
        ("Zo\u00eb", "Zoe", 0.95),
        ("O'Brien", "OBrien", 1.0),
        ("Priya", "Priya Shah", SHORTER),
        ("P. Shah", "Priya Shah", SHORTER),
        ("Katherine", "Katharine", MISSPELT),
        ("Priya Shah", "Priya Patel", SHARED),
    ],
)
def test_how_alike_two_names_are(first: str, second: str, expected: float) -> None:
    """Case, accents and apostrophes matter little, a full name holds a short one, a surname sets apart."""
    assert likeness(first, second) == likeness(second, first) == expected


def test_names_that_share_nothing_are_far_apart() -> None:
    """Two names without a word in common stay below what any company can make up for."""
    assert likeness("Priya", "Prince") < SHARED
    assert likeness("Tom", "Zo\u00eb") == 0.0


@given(st.text(), st.text())
def test_likeness_is_the_same_both_ways_and_between_nothing_and_all(first: str, second: str) -> None:
    """Whatever two names are, their likeness is a share, and the order does not matter."""
    assert 0.0 <= likeness(first, second) <= 1.0
    assert likeness(first, second) == likeness(second, first)
    assert folded(folded(first)) == folded(first)
    assert tidy(tidy(first)) == tidy(first)
    assert is_shorter(first, first) is False


def test_one_name_is_one_entity_where_nothing_speaks_against_it() -> None:
    """A name that is known is taken to be the same."""
    assert decide(somebody(0, "Priya"), [somebody(1, "Priya")]).key == 1
    assert decide(somebody(0, "Zoe"), [somebody(1, "Zo\u00eb")]).key == 1


def test_two_of_one_name_stay_two_where_their_company_disagrees() -> None:
    """The sister is not the colleague, though the names are the same."""
    found = decide(somebody(0, "Priya", **SISTER), [somebody(1, "Priya", **WORK)])
    assert found.verdict == "new"
    assert "other company" in found.reason


def test_a_role_finds_the_one_that_has_it() -> None:
    """Of two of one name, the one with the same role is meant."""
    known = [somebody(1, "Priya", **WORK), somebody(2, "Priya", **SISTER)]
    assert decide(somebody(0, "Priya", **SISTER), known).key == 2


def test_a_bare_name_is_left_open_where_nothing_tells_whose_it_is() -> None:
    """Of two of one name, neither is guessed."""
    known = [somebody(1, "Priya", **WORK), somebody(2, "Priya", **SISTER)]
    assert decide(somebody(0, "Priya"), known).verdict == "unclear"


@pytest.mark.parametrize(
    "company",
    [
        {"terms": {"budget": 2, "report": 1}},
        {"together": {"tom": 1}},
        {"relations": frozenset(["works at acme"])},
        {"vector": np.asarray([1.0, 0.0], dtype=np.float32)},
        {"places": frozenset(["chat"])},
    ],
    ids=["words", "others", "relations", "meaning", "conversation"],
)
def test_company_tells_whose_a_bare_name_is(company: dict[str, object]) -> None:
    """Words, others who are named, relations, what the texts mean, or the conversation tell which one is meant."""
    apart = {"vector": np.asarray([0.0, 1.0], dtype=np.float32)} if "vector" in company else {"terms": {"garden": 1}}
    known = [somebody(1, "Priya", **WORK, **company), somebody(2, "Priya", **SISTER, **apart)]
    assert decide(somebody(0, "Priya", **company), known).key == 1


def test_a_short_name_is_the_full_ones_only_where_one_has_it() -> None:
    """Priya is Priya Shah, unless there is a Priya Patel too."""
    assert decide(somebody(0, "Priya"), [somebody(1, "Priya Shah")]).key == 1
    two = [somebody(1, "Priya Shah"), somebody(2, "Priya Patel")]
    assert decide(somebody(0, "Priya"), two).verdict == "unclear"


def test_a_full_name_is_not_that_of_another_surname() -> None:
    """Who was called Priya and Priya Patel is not Priya Shah."""
    assert decide(somebody(0, "Priya Shah"), [somebody(1, "Priya Patel", "Priya")]).verdict == "new"


def test_places_have_no_short_names() -> None:
    """York is not New York."""
    assert decide(somebody(0, "York", kind="place"), [somebody(1, "New York", kind="place")]).verdict == "new"
    assert decide(somebody(0, "York", kind="thing"), [somebody(1, "New York", kind="thing")]).verdict == "new"


def test_kinds_that_differ_are_not_one() -> None:
    """A person is no place; what nobody could tell may be either."""
    assert decide(somebody(0, "Jordan"), [somebody(1, "Jordan", kind="place")]).verdict == "new"
    assert decide(somebody(0, "Jordan", kind="thing"), [somebody(1, "Jordan", kind="place")]).key == 1


def test_a_misspelt_name_needs_company() -> None:
    """One letter apart are two, unless they stand in the same company."""
    company = {"terms": {"budget": 2, "report": 1}}
    assert decide(somebody(0, "Katherine"), [somebody(1, "Katharine")]).verdict == "new"
    assert decide(somebody(0, "Katherine", **company), [somebody(1, "Katharine", **company)]).key == 1


def test_those_who_are_seen_often_and_never_in_the_same_company_are_two() -> None:
    """A single first name is not enough where much is known of both and nothing of it is the same."""
    one = somebody(1, "Priya", terms={"garden": 3, "cat": 2}, texts=5)
    other = somebody(0, "Priya", terms={"budget": 3, "report": 2}, texts=5)
    assert decide(other, [one]).verdict == "new"


def test_the_threshold_decides() -> None:
    """What is taken to be one at 0.7 is not at 0.9."""
    new, known = somebody(0, "Priya"), somebody(1, "Priya")
    assert 0.7 <= score(new, known) < 0.9
    assert decide(new, [known], 0.9).verdict == "new"
