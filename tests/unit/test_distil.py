"""Patterns are proposed with support, and re-opened facts follow what still stands."""

import datetime as dt
import json
from typing import Any
from uuid import UUID

import pytest

from keepwell.errors import AnswerInvalid
from keepwell.formation.distil import Distillation, Lookback, Said, edits_of, lookback, request
from keepwell.formation.options import FormationSettings
from keepwell.formation.reform import Ground, Reformation, Reopened, edit_of, without_model
from keepwell.formation.reform import request as ask_again
from keepwell.models import Fact, Owner, Source

DAY = dt.datetime(2024, 5, 7, tzinfo=dt.UTC)
SETTINGS = FormationSettings()


def fact(number: int, text: str) -> Fact:
    """Give a standing fact."""
    return Fact(UUID(int=number), 2, text, Owner("ada", "keepwell:distil", ""), DAY, kind="pattern", reopened=True)


def said(day: int, text: str) -> Said:
    """Give something that was said."""
    return Said(text, DAY + dt.timedelta(days=day), Source(100 + day))


RAN = lookback([said(n, f"I went running, round {n}") for n in range(5)], [fact(1, "Ada likes tea")], SETTINGS)


def proposed(given: Lookback, **pattern: Any) -> Any:
    """Give the edits of one proposal."""
    whole = {"statement": "Ada runs often", "supports": [1, 2, 3], **pattern}
    return edits_of(Distillation.model_validate({"patterns": [whole]}), given, SETTINGS)


def test_a_pattern_has_its_support_as_sources() -> None:
    """What is proposed rests on what was said, is the assistant's word, and is true since the first of it."""
    (edit,) = proposed(RAN)
    assert (edit.kind, edit.draft.kind, edit.draft.trust) == ("ADD", "pattern", "assistant")
    assert edit.draft.sources == (Source(100), Source(101), Source(102))
    assert edit.draft.valid_from == DAY


@pytest.mark.parametrize(
    "weak",
    [{"supports": [1, 2]}, {"supports": [1, 1, 1]}, {"statement": " "}, {"confidence": 0.1}, {"statement": "x" * 601},
     {"statement": "Ada's password is hunter2"}],
)  # fmt: skip
def test_what_is_weak_is_not_kept(weak: dict[str, Any]) -> None:
    """Too little support, the same thing counted twice, or no statement: nothing is proposed."""
    assert proposed(RAN, **weak) == ()


def test_one_day_makes_no_pattern() -> None:
    """What was said on one day only is no pattern, and not worth asking a model for."""
    given = lookback([said(0, f"running {n}") for n in range(9)], [], SETTINGS)
    assert not given.is_worth_it
    assert proposed(given) == ()
    assert RAN.is_worth_it


@pytest.mark.parametrize(
    "invented", [{"supports": [1, 2, 99]}, {"supports": [0, 1, 2]}, {"replaces": 2}, {"replaces": 0}]
)
def test_an_invented_number_refuses_the_answer(invented: dict[str, Any]) -> None:
    """Entries and patterns that were not shown make nothing of the answer count."""
    with pytest.raises(AnswerInvalid):
        proposed(RAN, **invented)


def test_a_known_pattern_is_worded_anew_and_nothing_is_ever_deleted() -> None:
    """A better wording takes the old one's place; an answer that would replace most of them is refused."""
    (edit,) = proposed(RAN, replaces=1)
    assert (edit.kind, edit.fact, edit.version) == ("UPDATE", UUID(int=1), 2)
    many = lookback(RAN.said, [fact(n, f"pattern {n}") for n in range(1, 7)], SETTINGS)
    patterns = [{"statement": f"new {n}", "supports": [1, 2, 3], "replaces": n} for n in range(1, 7)]
    with pytest.raises(AnswerInvalid, match="replace 6 of 6"):
        edits_of(Distillation.model_validate({"patterns": patterns}), many, SETTINGS)


def test_the_newest_is_read_first_and_secrets_never() -> None:
    """Where there is more than a call can read the oldest is left out; what is screened is not shown."""
    few = lookback([said(n, "x" * 100) for n in range(5)], [], FormationSettings(distil_characters=250))
    assert [one.at.day for one in few.said] == [10, 11]
    shown = lookback([said(0, "my password is hunter2")], [], SETTINGS)
    assert "hunter2" not in json.loads(request(shown, SETTINGS)[1].text)["entries"][0]["text"]


# --- re-opened facts

HOME = Source(fact=UUID(int=9), version=2)


def reopened(*grounds: Ground) -> Reopened:
    """Give a fact to look at again."""
    return Reopened(fact(1, "Ada takes the train from Leeds"), grounds)


def test_where_nothing_stands_the_fact_goes() -> None:
    """No model is asked to retract what rests on nothing any more."""
    edit = without_model(reopened(Ground("Ada lives in Leeds", None, None)))
    assert edit is not None
    assert (edit.kind, edit.fact, edit.version) == ("DELETE", UUID(int=1), 2)


def test_where_all_stands_the_fact_stays() -> None:
    """No model is asked either where what changed says the same again; the fact rests on what stands now."""
    edit = without_model(reopened(Ground("Ada lives in Leeds", "Ada lives in Leeds", HOME)))
    assert edit is not None
    assert edit.draft is not None
    assert (edit.kind, edit.draft.sources) == ("RESTORE", (HOME,))


def test_secrets_in_the_grounds_are_not_shown() -> None:
    """A fact may rest on a whole message; what is screened in it is cut out here, too."""
    given = reopened(Ground("my password is hunter2", "my password is hunter3", HOME))
    assert "hunter" not in ask_again(given, SETTINGS)[1].text


def test_a_changed_ground_is_for_the_model() -> None:
    """KEEP, UPDATE and RETRACT become edits; a change without words is refused."""
    given = reopened(Ground("Ada lives in Leeds", "Ada lives in York", HOME), Ground("gone", None, None))
    assert without_model(given) is None

    def edit(**answer: Any) -> Any:
        return edit_of(Reformation.model_validate(answer), given, SETTINGS)

    assert edit(action="KEEP").kind == "RESTORE"
    assert edit(action="RETRACT").kind == "DELETE"
    updated = edit(action="UPDATE", text="Ada takes the train from York")
    assert (updated.kind, updated.draft.text, updated.draft.sources) == (
        "UPDATE",
        "Ada takes the train from York",
        (HOME,),
    )
    assert edit(action="UPDATE", text="Ada takes the train from Leeds").kind == "RESTORE"
    for text in (None, " ", "x" * 601, "the password is hunter2"):
        with pytest.raises(AnswerInvalid):
            edit(action="UPDATE", text=text)
