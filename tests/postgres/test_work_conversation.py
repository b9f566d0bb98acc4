"""A conversation in which a person changes their mind: what is held to be true at each date is exactly what it should be."""

from __future__ import annotations

import datetime as dt

from keepwell.models import Message
from keepwell.storage.base import Record
from keepwell.storage.facts import ReadSources
from keepwell.work import drain, form_thread, scope_of

from .workshop import Talk, tools_of

SISTER = "Priya, Ada's sister, lives in York"
COLLEAGUE = "Priya from work lives in Hull"
STEPS: list[tuple[str, list[tuple[str, str]], list[str]]] = [
    ("she tells of herself",
     [("user", "Hi! I live in Leeds. I drink tea."), ("assistant", "Nice! I will remember that you live in Hull.")],
     ["Ada drinks tea", "Ada lives in Leeds"]),
    ("she corrects the assistant",
     [("assistant", "How do you like living in Hull?"), ("user", "No, I live in Leeds.")],
     ["Ada drinks tea", "Ada lives in Leeds"]),
    ("two people have one name",
     [("user", "My sister Priya lives in York. Priya from work lives in Hull.")],
     ["Ada drinks tea", "Ada lives in Leeds", COLLEAGUE, SISTER]),
    ("she changes her mind",
     [("user", "Actually, I don't drink tea any more."), ("user", "My favourite drink is coffee.")],
     ["Ada does not drink tea any more", "Ada lives in Leeds", "Ada's favourite drink is coffee", COLLEAGUE, SISTER]),
    ("she moves, which is about her alone",
     [("user", "I live in Bath.")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada's favourite drink is coffee", COLLEAGUE, SISTER]),
    ("one Priya moves, the other stays",
     [("user", "Priya from work lives in Rome.")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada's favourite drink is coffee",
      "Priya from work lives in Rome", SISTER]),
    ("she contradicts herself, and the later word counts",
     [("user", "My favourite drink is cocoa."), ("user", "My favourite drink is coffee.")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada's favourite drink is coffee",
      "Priya from work lives in Rome", SISTER]),
    ("she asks to forget",
     [("user", "Please forget about my sister Priya.")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada's favourite drink is coffee",
      "Priya from work lives in Rome"]),
    ("what was recalled is not learned again",
     [("user", f"<memory>\n- [2024-05-01] Priya: {SISTER}. I live in Leeds.\n</memory>\nWhat shall we cook?")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada's favourite drink is coffee",
      "Priya from work lives in Rome"]),
    ("a secret is not kept",
     [("user", "My password is hunter2. I really like my garden.")],
     ["Ada does not drink tea any more", "Ada lives in Bath", "Ada really likes Ada's garden",
      "Ada's favourite drink is coffee", "Priya from work lives in Rome"]),
]  # fmt: skip


def test_at_each_date_exactly_the_expected_facts_stand(kept: Record) -> None:
    """After each step the facts are the expected ones, and later they still are when asked as of then."""
    talk, tools = Talk(kept), tools_of(kept)
    moments: list[tuple[dt.datetime, list[str]]] = []
    for told, lines, expected in STEPS:
        for role, text in lines:
            talk.say(text, role=role)
            drain(tools)
        assert talk.facts() == sorted(expected), told
        moments.append((max(change.at for change in talk.history()), sorted(expected)))
    for moment, expected in moments:
        assert talk.facts(as_of=moment) == expected


def test_formed_much_later_it_comes_to_the_same(kept: Record) -> None:
    """Formed after all was said, the conversation leaves the facts that its last words leave."""
    talk, tools = Talk(kept), tools_of(kept, batch=1)
    for _, lines, _ in STEPS:
        for role, text in lines:
            talk.say(text, role=role)
    formed = form_thread(tools, talk.key)
    assert formed is not None
    assert formed.error is None
    assert formed.messages == sum(len(lines) for _, lines, _ in STEPS)
    assert talk.facts() == sorted(STEPS[-1][2])


def test_every_fact_has_the_words_that_say_so(kept: Record) -> None:
    """Each standing fact answers with the span of the message it rests on; each change says why."""
    talk, tools = Talk(kept), tools_of(kept)
    for _, lines, _ in STEPS:
        for role, text in lines:
            talk.say(text, role=role)
            drain(tools)
    quotes = {}
    for fact in talk.whole():
        sources = kept.read(ReadSources(scope_of(talk.owner), fact.id))
        quotes[fact.text] = sources.quotes[0].text
        assert all(isinstance(quote.message, Message) for quote in sources.quotes)
    assert quotes["Ada lives in Bath"] == "I live in Bath."
    assert quotes["Ada's favourite drink is coffee"] == "My favourite drink is coffee."
    assert all(change.reason and change.actor == "formation" for change in talk.history())
