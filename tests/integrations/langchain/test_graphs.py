"""LangChain's graph transformer as the model that finds entities and relations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace as Of
from typing import Any

import pytest
from langchain_core.documents import Document

from keepwell import Memory, Message, errors
from langchain_keepwell import graph_extractor
from langchain_keepwell.graphs import answer_of


class Scripted:
    """Says what the transformer says of two sentences: ids in title case, types in capitals."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def convert_to_graph_documents(self, documents: Sequence[Document]) -> list[Any]:
        """Give a document for each."""
        self.read += [document.page_content for document in documents]
        return [self._of(document.page_content) for document in documents]

    def _of(self, text: str) -> Any:
        if "Priya" not in text:
            return Of(nodes=[Of(id="Atlantis", type="Place")], relationships=[])
        priya, acme = Of(id="Priya", type="Person"), Of(id="Acme Gmbh", type="Company")
        return Of(nodes=[priya, acme], relationships=[Of(source=priya, target=acme, type="WORKS_AT")])


def test_what_it_finds_is_in_the_graph(open_memory: Callable[..., Memory]) -> None:
    """Entities and relations come with the sentence that says so; a name that nobody said does not."""
    transformer = Scripted()
    memory = open_memory(language_model=graph_extractor(transformer), worker="none")
    ada = memory.scope("ada")
    ada.thread("t").append(
        Message.user("Good morning. My sister Priya works at Acme GmbH in Leeds! Bye."), Message.user("It rains.")
    )
    assert memory.drain().parked == 0
    assert transformer.read == ["Good morning. My sister Priya works at Acme GmbH in Leeds! Bye.", "It rains."]
    names = {entity.name for entity in ada.graph.entities()}
    assert {"Priya", "Acme GmbH"} <= names
    assert "Atlantis" not in names
    told = [relation for relation in ada.graph.relations() if relation.predicate == "works at"]
    assert len(told) == 1


def test_the_answer_has_names_as_they_are_written() -> None:
    """Capitals that the transformer changed are put right, and the evidence is the sentence with both names."""
    text = "Hello. Priya works at Acme GmbH in Leeds! Bye."
    answer = answer_of([(3, text)], [Scripted()._of(text)])
    assert answer["entities"] == [
        {"message": 3, "name": "Priya", "type": "person"},
        {"message": 3, "name": "Acme GmbH", "type": "organisation"},
    ]
    (relation,) = answer["relations"]
    assert relation["quote"] == "Priya works at Acme GmbH in Leeds!"
    assert (relation["subject"], relation["predicate"], relation["object"]) == ("Priya", "works at", "Acme GmbH")


def test_what_it_cannot_do_is_said() -> None:
    """Asked for anything but entities it names the model that is missing."""
    from pydantic import BaseModel

    class Other(BaseModel):
        word: str

    with pytest.raises(errors.LanguageModelFailed, match="then="):
        graph_extractor(Scripted())([Message.user("{}")], Other)
