"""People who speak about each other: writes of every kind that changes a graph, from a seed."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

from keepwell import Memory, Message
from keepwell.errors import EntityNotFound
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    GraphEdit,
    MergeEntities,
    Relate,
    RemoveEntity,
)
from keepwell.models import Owner, Source
from keepwell.models.graph import Mention
from keepwell.storage.facts import MessageKeys
from keepwell.storage.graph import ApplyGraph, GraphEdits, ReadEntities

NAMES = "Ada Bela Cato Dora Elia Fina Gus Hana Ivo Jana Kian Lena Milo Nora Otto Pia".split()
PREDICATES = ("sister of", "friend of", "works with", "neighbour of")


class Village:
    """Writes of one user, each in a transaction of its own as the library's are."""

    def __init__(self, memory: Memory, user: str = "ada", seed: int = 1) -> None:
        self.memory, self.random = memory, random.Random(seed)
        self.record = memory._engine.record
        self.owner = Owner(user, "", "")
        self.scope = memory.scope(user_id=user)
        self.entities: list[UUID] = []
        self.said: list[Message] = []
        self.chat = self.scope.thread("talk")
        self.merging = True

    def apply(self, *edits: GraphEdit, mentions: tuple[Mention, ...] = ()) -> None:
        """Write edits and mentions together."""
        self.record.write(ApplyGraph(self.owner, GraphEdits(edits, mentions), "test", uuid4()))

    def person(self, name: str = "") -> UUID:
        """Let somebody be known by a given name."""
        name = name or f"{self.random.choice(NAMES)} {len(self.entities)}"
        ident = uuid4()
        self.apply(AddEntity(ident, name, "person", given=(name,)))
        self.entities.append(ident)
        return ident

    def say(self, *about: UUID) -> int:
        """Say something that names somebody; gives the message's number."""
        names = " and ".join(f"person{len(self.said)}" for _ in about) or "nobody"
        appended = self.chat.append(Message.user(f"{names} came by"))
        message = appended[0]
        self.said.append(message)
        (number,) = self.record.read(MessageKeys(self.scope.scope, ((None, message.id),))).values()
        found = tuple(Mention(one, names[:7], 0, 7, message=number, at=message.created_at) for one in about)
        self.apply(mentions=found)
        return number

    def relate(self, subject: UUID, predicate: str, object_: UUID, message: int | None = None) -> UUID:
        """Say how one stands to another."""
        ident = uuid4()
        sources = () if message is None else (Source(message=message),)
        self.apply(Relate(ident, subject, predicate, object_, given=message is None, sources=sources))
        return ident

    def change(self) -> None:
        """Do one thing or another; somebody may have gone meanwhile with what was forgotten."""
        try:
            self._change()
        except EntityNotFound:
            self.entities = [*self.record.read(ReadEntities(self.scope.scope, tuple(self.entities)))]

    def _change(self) -> None:
        draw = self.random.random()
        if len(self.entities) < 4 or draw < 0.2:
            self.person()
        elif draw < 0.45:
            a, b = self.random.sample(self.entities, 2)
            self.relate(a, self.random.choice(PREDICATES), b)
        elif draw < 0.65:
            a, b = self.random.sample(self.entities, 2)
            self.relate(a, self.random.choice(PREDICATES), b, self.say(a, b))
        elif draw < 0.75:
            self.scope.remember(f"fact {self.random.randrange(50)}", key=f"key {self.random.randrange(5)}")
        elif draw < 0.83:
            self.apply(ChangeEntity(self.random.choice(self.entities), name=f"{self.random.choice(NAMES)} the new"))
        elif draw < 0.89 and self.merging:
            a, b = self.random.sample(self.entities, 2)
            self.apply(MergeEntities(a, b))
        elif 0.89 <= draw < 0.93:
            self.apply(RemoveEntity(self.entities.pop(self.random.randrange(len(self.entities)))))
        elif self.said:
            self.scope.forget(self.said.pop(self.random.randrange(len(self.said))))
