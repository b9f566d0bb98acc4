"""Where items lie, what they say of themselves, and what filters say."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell import label, unlabel
from keepwell.errors import InvalidQuery, UsageError
from keepwell.formation.settle import Draft, Edit, Standing, settle
from keepwell.models import Fact, Owner
from keepwell.models.filters import filter_of
from keepwell.models.items import ITEM, OWN, SHARED, namespace_of, path_of, place_of, prefix_of
from keepwell.recall.chunks import chunks
from keepwell.recall.fields import MAX_TEXT, text_of
from keepwell.storage.postgres.jsonpaths import jsonpath

TEXT = st.text(st.characters(codec=None), max_size=12)
LABELS = st.lists(st.text(st.characters(codec=None), min_size=1, max_size=12), min_size=1, max_size=5).map(tuple)
NOW = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)


@given(LABELS, TEXT)
def test_a_path_leads_back_to_its_place(namespace: tuple[str, ...], key: str) -> None:
    """Namespace and key come back from a path, which any database can hold."""
    for tree in (SHARED, OWN):
        path = path_of(tree, namespace, key)
        assert place_of(path) == (namespace, key)
        assert namespace_of(path.partition("/:")[0]) == namespace
        assert path.isprintable() or "\x00" not in path
        path.encode()


@given(LABELS, LABELS, TEXT)
def test_a_prefix_is_that_of_whole_labels(space: tuple[str, ...], other: tuple[str, ...], key: str) -> None:
    """A path begins with a namespace's prefix where its namespace begins with that namespace, and nowhere else."""
    begins = path_of(SHARED, other, key).startswith(prefix_of(SHARED, space))
    assert begins is (other[: len(space)] == space)


@given(TEXT)
def test_a_label_leads_back_to_its_text(text: str) -> None:
    """Every text has a label that LangGraph allows, and no two have the same."""
    made = label(text)
    assert made
    assert "." not in made
    assert unlabel(made) == text


def test_a_path_is_bounded() -> None:
    """What no index can hold is refused with words that say so."""
    with pytest.raises(UsageError, match="longer"):
        path_of(SHARED, ("x" * 2000,), "k")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["title"], ["Tea"]),
        (["by.name"], ["Ada"]),
        (["list[0]"], ["one"]),
        (["list[-1]"], ["three"]),
        (["list[5]"], []),
        (["list[*]"], ["one", "two", "three"]),
        (["parts[*].say"], ["x", "y"]),
        (["by.*"], ["Ada", "7"]),
        (["{title,by.name}"], ["Tea", "Ada"]),
        (["title", "missing", "by.name"], ["Tea", "Ada"]),
        (["by"], ["name: Ada\nage: 7"]),
        (["none"], []),
        ([], []),
    ],
)
def test_fields(fields: list[str], expected: list[str]) -> None:
    """Fields are named as LangGraph names them, and each text is a paragraph of its own."""
    value = {
        "title": "Tea", "by": {"name": "Ada", "age": 7}, "list": ["one", "two", "three"],
        "parts": [{"say": "x"}, {"say": "y"}, {"other": 1}], "none": None,
    }  # fmt: skip
    text = text_of(value, fields)
    assert (text.split("\u2029") if text else []) == expected
    assert chunks(text) == (expected or [""])


def test_the_whole_value() -> None:
    """The whole of a value is its texts, with their names where there are several."""
    assert text_of({"content": "Ada drinks tea"}, ["$"]) == "Ada drinks tea"
    assert text_of({"a": {"b": "x"}, "n": [1, True], "raw": b"\x00", "no": None}, ["$"]) == "a b: x\nn: 1\nn: True"
    assert text_of({}, ["$"]) == ""
    assert len(text_of({"a": "x" * 10**6}, ["$"])) == MAX_TEXT


@pytest.mark.parametrize(
    "wrong",
    [{"n": {"$like": 1}}, {"$nor": []}, {"n": {"$gt": None}}, {"n": {"$gt": [1]}}, {"n": {"$in": 1}}, {"$and": {"n": 1}},
     {"n": {"$gt": float("nan")}}, {"$not": 1}, {1: 2}, {"n": {"$gt": 1, "x": 2}}],
)  # fmt: skip
def test_filters_that_mean_nothing(wrong: Any) -> None:
    """A filter that cannot be meant is refused before any store is asked."""
    with pytest.raises(InvalidQuery):
        filter_of(wrong)


def test_a_path_says_no_more_than_its_filter() -> None:
    """Operands are variables of a path, and names are quoted in it."""
    path, operands = jsonpath(filter_of({'a" || 1 == 1 || "': 'x" || true'}))
    assert path == r'strict ($."a\" || 1 == 1 || \"" == $v0)'
    assert operands == r'{"v0": "x\" || true"}'


def test_settling_tells_items_by_their_place() -> None:
    """Two items may say the same, and what a fact says; an item under one key is one."""
    owner = Owner("ada", "", "")
    keys = [path_of(SHARED, ("n",), key) for key in "ab"]
    drafts = [Draft("tea"), *(Draft("tea", kind=ITEM, key=key) for key in keys), Draft("Tea!")]
    settled = settle(
        [Edit("ADD", draft=draft) for draft in drafts], Standing(),
        owner=owner, actor="x", batch=uuid4(), explicit=True, at=NOW,
    )  # fmt: skip
    assert [one.change.kind for one in settled] == ["ADD", "ADD", "ADD", "NONE"]
    item = settled[1].change.after
    assert isinstance(item, Fact)
    again = settle(
        [Edit("ADD", draft=Draft("milk", kind=ITEM, key=keys[0]))], Standing({item.id: item}, {item.id: 1}),
        owner=owner, actor="x", batch=uuid4(), explicit=True, at=NOW,
    )  # fmt: skip
    assert [(one.change.kind, one.change.fact) for one in again] == [("UPDATE", item.id)]
