"""The commands about the graph: each does what its verb does, in words and as a document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from keepwell import Memory

ADA = ("--user", "ada")


@pytest.fixture
def family(dsn: str, keepwell: Callable[..., Result]) -> None:
    """Give Ada a few people."""
    assert keepwell("status").exit_code == 0
    with Memory.open(dsn, embedder=None) as memory:
        graph = memory.scope(user_id="ada").graph
        graph.link("Priya", "sister of", "Ada")
        graph.link("Tom", "carer of", "Priya")
        graph.add("Leeds", type="place")


@pytest.mark.usefixtures("family")
def test_the_neighbourhood_is_shown(answer: Callable[..., Any], keepwell: Callable[..., Result]) -> None:
    """``graph show`` gives all, or what lies around one, in words and as a document."""
    shown = keepwell("graph", "show", *ADA)
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("Priya", "sister of", "Ada", "Tom", "Leeds"))
    around = answer("graph", "show", "Ada", *ADA)
    assert {one["name"]: one["hops"] for one in around["entities"]} == {"Ada": 0, "Priya": 1}
    assert [one["predicate"] for one in around["relations"]] == ["sister of"]
    assert len(answer("graph", "show", "Ada", *ADA, "--hops", "2")["entities"]) == 3


@pytest.mark.usefixtures("family")
def test_the_graph_is_drawn_into_a_file(keepwell: Callable[..., Result], tmp_path: Path) -> None:
    """``--out`` writes a picture, and says where."""
    done = keepwell("graph", "show", *ADA, "--out", tmp_path / "graph.svg")
    assert done.exit_code == 0
    assert "graph.svg" in done.stderr.replace("\n", "")
    assert ">Priya<" in (tmp_path / "graph.svg").read_text(encoding="utf-8")


@pytest.mark.usefixtures("family")
def test_entities_are_found_by_name(answer: Callable[..., Any], keepwell: Callable[..., Result]) -> None:
    """``graph find`` takes names that are nearly right, and kinds."""
    (found,) = answer("graph", "find", "pria", *ADA)["entities"]
    assert (found["name"], found["user_id"]) == ("Priya", "ada")
    assert answer("graph", "find", "Leeds", *ADA, "--type", "person")["entities"] == []
    assert "nothing here is called so" in keepwell("graph", "find", "Nobody", *ADA).stdout


@pytest.mark.usefixtures("family")
def test_paths_are_lines_with_arrows(answer: Callable[..., Any], keepwell: Callable[..., Result]) -> None:
    """``graph paths`` shows each way as it goes."""
    assert "Tom -[carer of]-> Priya -[sister of]-> Ada" in keepwell("graph", "paths", "Tom", "Ada", *ADA).stdout
    assert "Ada <-[sister of]- Priya" in keepwell("graph", "paths", "Ada", "Priya", *ADA).stdout
    assert len(answer("graph", "paths", "Tom", "Ada", *ADA)["paths"][0]["relations"]) == 2
    assert "no way between them" in keepwell("graph", "paths", "Tom", "Leeds", *ADA).stdout


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    "words", [("show", "Nobody"), ("find", " "), ("paths", "Tom", "Nobody"), ("find", "x", "--type", "animal")]
)
def test_what_is_not_there_is_one_line_and_an_exit_code(
    keepwell: Callable[..., Result], words: tuple[str, ...]
) -> None:
    """Errors are told in a line, not in a traceback."""
    done = keepwell("graph", *words, *ADA)
    assert done.exit_code != 0
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("family")
def test_nobody_else_is_shown(answer: Callable[..., Any]) -> None:
    """Another user's graph is empty."""
    assert answer("graph", "show", "--user", "bob") == {"entities": [], "relations": []}
