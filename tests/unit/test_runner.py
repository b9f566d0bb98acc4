"""Statements are written with the names of their values, and sent with PostgreSQL's own places."""

from __future__ import annotations

from keepwell.storage.postgres.runner import numbered


def test_each_value_has_one_place_however_often_it_is_named() -> None:
    """A name is a number, the same wherever it stands; values that no place asks for are left out."""
    text, values = numbered((b"select %(b)s, %(a)s, %(b)s", {"a": 1, "b": "two", "c": None}))
    assert text == b"select $1, $2, $1"
    assert values == ["two", 1]


def test_two_percent_signs_are_one() -> None:
    """What the driver would have unescaped is unescaped here, and what is no place stays."""
    assert numbered((b"select 7 %% 3, 'a%%' like %(a)s", {"a": "x"})) == (b"select 7 % 3, 'a%' like $1", ["x"])
    assert numbered((b"select 1", {})) == (b"select 1", [])
