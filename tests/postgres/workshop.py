"""People who talk, and models that form what they say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from keepwell.formation.options import FormationSettings
from keepwell.models import Changes, Fact, Message, Owner, Scope
from keepwell.providers.language import LanguageModel
from keepwell.storage.base import AppendMessages, FindThread, Forming, Record
from keepwell.storage.facts import ListFacts, ReadHistory, ReadSecret
from keepwell.testing import ScriptedExtractor
from keepwell.work import Tools, remembered_by_words, scope_of

ADA = Owner("ada", "", "")
DAY = dt.datetime(2024, 5, 7, 10, tzinfo=dt.UTC)
AT_ONCE = FormationSettings(retry_seconds=0.0, distil_hour=None)


def tools_of(record: Record, model: LanguageModel | None = None, **settings: Any) -> Tools:
    """Give tools with a model of rules, that try again at once."""
    chosen = replace(AT_ONCE, **settings)
    secret = record.read(ReadSecret())
    return Tools(record, model or ScriptedExtractor(), None, None, secret, chosen, remembered_by_words(record))


@dataclass
class Talk:
    """Somebody's conversation."""

    record: Record
    owner: Owner = ADA
    thread: str = "chat"
    name: str = "Ada"
    at: dt.datetime = DAY
    ids: list[str] = field(default_factory=list)

    def say(self, *texts: str, role: str = "user", pause: float | None = 0.0) -> None:
        """Say something, all of it at once, a day after what was said before."""
        name = self.name if role == "user" else None
        messages = tuple(
            Message(role=role, parts=({"type": "text", "text": text},), name=name, created_at=self.at) for text in texts
        )
        self.at += dt.timedelta(days=1)
        self.ids += [message.id for message in messages]
        empty = ("",) * len(messages)
        forming = Forming(pause=pause)
        self.record.write(AppendMessages(self.owner, self.thread, messages, empty, signals=empty, forming=forming))

    @property
    def key(self) -> Any:
        """The thread's key."""
        found = self.record.read(FindThread(self.owner, self.thread))
        assert found is not None
        return found.key

    def facts(self, **asked: Any) -> list[str]:
        """Give what is held to be true, in order of the alphabet."""
        return sorted(fact.text for fact in self.whole(**asked))

    def whole(self, **asked: Any) -> Sequence[Fact]:
        """Give the facts themselves."""
        return self.record.read(ListFacts(scope_of(self.owner), limit=1000, **asked))

    def history(self, **asked: Any) -> Changes:
        """Give what changed, oldest first."""
        return self.record.read(ReadHistory(scope_of(self.owner), oldest_first=True, limit=1000, **asked))


def everything(record: Record, user: str = "ada") -> list[str]:
    """Give what is held to be true of a user, in all that is theirs."""
    return sorted(fact.text for fact in record.read(ListFacts(Scope(user), limit=1000)))
