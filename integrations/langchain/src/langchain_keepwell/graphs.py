"""LangChain's ``LLMGraphTransformer`` as the model that finds entities and relations in what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.documents import Document
from pydantic import BaseModel

from keepwell import Message, errors
from langchain_keepwell.messages import to_langchain

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_QUOTE = 2_000
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_TYPES: Mapping[str, str] = {
    "person": "person", "people": "person", "location": "place", "place": "place", "city": "place", "country": "place",
    "organization": "organisation", "organisation": "organisation", "company": "organisation", "book": "work",
    "film": "work", "movie": "work", "song": "work", "work": "work",
}  # fmt: skip


class Transformer(Protocol):
    """What is asked of an ``LLMGraphTransformer``, of langchain-neo4j or langchain-experimental."""

    def convert_to_graph_documents(self, documents: Sequence[Document]) -> Sequence[Any]:
        """Give a graph document for each document."""


def graph_extractor(
    transformer: Transformer, then: BaseChatModel | None = None
) -> Callable[[Sequence[Message], type[BaseModel]], Any]:
    """Give what ``Memory.open(language_model=...)`` takes, and asks for entities and relations.

    The transformer reads each message by itself. What it gives is believed as any model's answer is: names must stand
    in the message, and a relation has the sentence that names both as its evidence. It knows no dates and no facts;
    ``then``, a chat model, is asked for facts and for all else.

    Example:
        >>> class Scripted:
        ...     def convert_to_graph_documents(self, documents):
        ...         from types import SimpleNamespace as Of
        ...         ada, priya = Of(id="Ada", type="Person"), Of(id="Priya", type="Person")
        ...         sister = Of(source=priya, target=ada, type="SISTER_OF")
        ...         return [Of(nodes=[ada, priya], relationships=[sister]) for _ in documents]
        >>> from keepwell import Memory
        >>> with Memory.open(language_model=graph_extractor(Scripted()), worker="none", tenant="graphs") as memory:
        ...     _ = memory.scope(user_id="ada").thread("t").append(Message.user("Priya is the sister of Ada."))
        ...     memory.drain().formed
        1
    """

    def ask(messages: Sequence[Message], schema: type[BaseModel]) -> Any:  # noqa: ANN401 - an instance, or its fields
        if "relations" not in schema.model_fields:
            return _asked(then, messages, schema)
        entries = evidence_of(messages)
        told = transformer.convert_to_graph_documents([Document(page_content=text) for _, text in entries])
        found = answer_of(entries, told)
        if then is None:
            return found
        facts: Any = schema.model_validate(_asked(then, messages, schema))
        return {**facts.model_dump(), **{name: found[name] for name in ("entities", "relations")}}

    ask.__name__ = f"graph-transformer-{getattr(then, 'model_name', None) or 'alone'}"
    return ask


def _asked(then: BaseChatModel | None, messages: Sequence[Message], schema: type[BaseModel]) -> Any:  # noqa: ANN401 - as above
    if then is None:
        raise errors.LanguageModelFailed(
            "a graph transformer answers for entities alone; give graph_extractor(then=...)"
        )
    return then.with_structured_output(schema).invoke([to_langchain(message) for message in messages])


def evidence_of(messages: Sequence[Message]) -> list[tuple[int, str]]:
    """Give the numbered messages of a conversation that is to be read."""
    asked = json.loads(messages[-1].text)
    entries = [(entry["number"], entry["text"]) for entry in asked["conversation"] if "number" in entry]
    return [(int(number), str(text)) for number, text in entries]


def answer_of(entries: Sequence[tuple[int, str]], documents: Sequence[Any]) -> dict[str, list[dict[str, Any]]]:
    """Give what graph documents say as the answer that is asked for; a document belongs to the message at its place.

    Example:
        >>> from types import SimpleNamespace as Of
        >>> rome = Of(nodes=[Of(id="Rome", type="City")], relationships=[])
        >>> answer_of([(1, "Off to Rome!")], [rome])["entities"]
        [{'message': 1, 'name': 'Rome', 'type': 'place'}]
    """
    entities: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    for (number, text), document in zip(entries, documents, strict=False):
        entities += _entities(number, text, document)
        relations += _relations(number, text, document)
    return {"facts": [], "entities": entities, "relations": relations, "ended": []}


def _entities(number: int, text: str, document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a GraphDocument
    for node in document.nodes:
        if (name := _as_said(str(node.id), text)) is not None:
            yield {"message": number, "name": name, "type": _TYPES.get(str(node.type).casefold(), "thing")}


def _relations(number: int, text: str, document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a GraphDocument
    for one in document.relationships:
        subject, target = (_as_said(str(end.id), text) for end in (one.source, one.target))
        predicate = " ".join(str(one.type).replace("_", " ").lower().split())
        if subject is None or target is None or not predicate:
            continue
        quote = _quote(text, subject, target)
        yield {"message": number, "quote": quote, "subject": subject, "predicate": predicate, "object": target}


def _as_said(name: str, text: str) -> str | None:
    """Give a name as it is written in a text, since a transformer changes the capitals of names."""
    found = re.search(r"\s+".join(map(re.escape, name.split())) or r"(?!)", text, re.IGNORECASE)
    return None if found is None else found.group()


def _quote(text: str, *names: str) -> str:
    """Give the sentence that has all the names, or the text's beginning."""
    sentences = (match.group().strip() for match in _SENTENCE.finditer(text))
    return next((one for one in sentences if all(name in one for name in names)), text.strip())[:_QUOTE]
