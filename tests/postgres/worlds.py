"""Random owners, scopes and filters, and a plain-Python oracle of who may see what."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from keepwell import Change, Memory, Message, ScopedMemory
from keepwell.errors import FactNotFound
from keepwell.models import Kind, Owner, Recollections, Scope
from keepwell.storage.base import FetchMessages, LoadScope, MatchMetadata
from keepwell.storage.facts import FetchFacts, MessageKeys, RawSources, ReadHistory

HOSTILE = (
    "ada", "Ada", "ada ", " ada", "%", "_", "a%", "ad_", "*", "'", "''", '"', "' or 1=1 --", "'; drop table message; --",
    "\\", "\\'", "$1", "%s", "%(tenant)s", "{schema}", "{}", "@wall(m)", "@gate", "NULL", "null", "0", "-1", "true",
    "é", "e\u0301", "ß", "ss", "İ", "аda", "日本", "🙂", "\u202eada", "\ufeffada", "\u200b.", "a\nb", "a\tb", "ada\x7f",
)  # fmt: skip
KINDS: tuple[Kind, ...] = ("message",)
START = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)
_ids = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6).filter(str.strip),
)


@dataclass(frozen=True)
class Said:
    """One message: whose it is, and its place in the order of all of them."""

    tenant: int
    owner: Owner
    thread: str
    ident: str
    label: str
    number: int

    @property
    def message(self) -> Message:
        """What is appended: every message has the word ``secret``."""
        return Message.user(f"secret {self.number}", id=self.ident, metadata={"k": self.label}, created_at=self.at)

    @property
    def fact(self) -> str:
        """What is held to be true because of it."""
        return f"fact of {self.number}"

    @property
    def at(self) -> dt.datetime:
        """When it was said: a minute after the one before."""
        return START + dt.timedelta(minutes=self.number)


@dataclass(frozen=True)
class World:
    """What was said by everybody, and the scopes from which it is looked at."""

    said: tuple[Said, ...]
    scopes: tuple[Scope, ...]
    ids: tuple[str, ...]
    tenants: tuple[str, str] = field(default_factory=lambda: _alike(uuid.uuid4().hex))

    def of(self, tenant: int, scope: Scope) -> list[Said]:
        """Give what a scope may see."""
        return [said for said in self.said if said.tenant == tenant and scope.covers(said.owner)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Give worlds in which few ids are used for many things, so that they meet."""
    ids = draw(st.lists(_ids, min_size=2, max_size=4, unique=True))
    one, maybe = st.sampled_from(ids), st.sampled_from(["", *ids])
    owners = st.builds(Owner, maybe, maybe, maybe).filter(any)
    rows = draw(st.lists(st.tuples(st.sampled_from([0, 0, 0, 1]), owners, one, one, one), min_size=1, max_size=16))
    unique = {row[:4]: row for row in rows}.values()
    given = st.one_of(st.none(), one)
    views = st.builds(lambda *three: three, given, given, given).filter(lambda three: any(three))
    scopes = draw(st.lists(st.builds(lambda three: Scope(*three), views), min_size=1, max_size=3))
    across = Scope(None, *draw(st.tuples(given, given)), across_users=True)
    said = tuple(Said(*row, number) for number, row in enumerate(unique))
    return World(said, (*scopes, across), tuple(ids))


def check_everything(world: World, dsn: str, pool_size: int) -> None:
    """Write a world down, look at it from every scope by every way, and forget one scope."""
    options: dict[str, Any] = {"embedder": None, "pool_size": pool_size}
    with (
        Memory.open(dsn, tenant=world.tenants[0], name="left", **options) as left,
        Memory.open(dsn, tenant=world.tenants[1], name="right", **options) as right,
    ):
        memories = (left, right)
        for said in world.said:
            view = scope_of(memories[said.tenant], said.owner)
            kept = view.thread(said.thread).append(said.message)
            view.remember(said.fact, key=f"{said.number} {said.ident}", kind=said.label, sources=kept)
        for (tenant, memory), scope in itertools.product(enumerate(memories), world.scopes):
            _Look(world, tenant, memory, scope).at_everything()
        _look_at_keys(world, memories)
        _look_at_facts(world, memories)
        _forget(world, memories)


def _alike(name: str) -> tuple[str, str]:
    return name, f"{name}%"


def scope_of(memory: Memory, owner: Owner) -> ScopedMemory:
    """Give the view that writes as an owner."""
    return memory.scope(*(value or None for value in owner))


def _numbers(messages: Iterable[Message]) -> list[int]:
    return [int(message.text.removeprefix("secret ")) for message in messages]


class _Look:
    """One scope of one tenant, and what it may see."""

    def __init__(self, world: World, tenant: int, memory: Memory, scope: Scope) -> None:
        self.world, self.memory, self.scope = world, memory, scope
        self.visible = world.of(tenant, scope)
        self.mine = [said for said in self.visible if said.owner == scope.owner]
        self.view = ScopedMemory(memory, scope)

    def at_everything(self) -> None:
        self.at_threads()
        for budget in (2**28, 0):  # whole scopes, and candidates
            self.memory._engine.cache.clear()
            self.memory._engine.cache.budget = budget
            self.by_recall()
        self.at_facts()
        if any(self.scope.owner):
            for ident in self.world.ids:
                self.at_thread(ident)

    def at_threads(self) -> None:
        expected = {(said.owner, said.thread) for said in self.visible}
        assert {(thread.owner, thread.id) for thread in self.view.threads(limit=1000)} == expected
        found, mark = [], None
        while True:
            page = self.view.threads(order="created", newest_first=False, limit=2, after=mark)
            found += [(thread.owner, thread.id) for thread in page]
            if (mark := page.next) is None:
                break
        assert len(found) == len(expected)
        assert set(found) == expected

    def at_facts(self) -> None:
        expected = sorted(said.fact for said in self.visible)
        assert sorted(fact.text for fact in self.view.facts(limit=1000)) == expected
        assert sorted(fact.text for fact in self.view.facts(limit=1000, as_of=dt.datetime.now(dt.UTC))) == expected
        assert sorted(fact.text for fact in self.view.diff(START).added) == expected
        assert sorted(_after(change) for change in self.view.history(limit=1000)) == expected
        for ident in self.world.ids:
            # A kind is a word of the caller's; spaces around it mean nothing.
            labelled = sorted(said.fact for said in self.visible if said.label.strip() == ident.strip())
            assert sorted(fact.text for fact in self.view.facts(kind=ident, limit=1000)) == labelled
        for budget in (2**28, 0):
            self.memory._engine.cache.clear()
            self.memory._engine.cache.budget = budget
            found = self.view.recall("fact", kinds=("fact",), limit=1000)
            assert sorted(one.text for one in found) == expected
            assert sorted(one.fact.text for one in found) == expected
        file = io.StringIO()
        told = self.view.export(file)
        assert (told.facts, told.messages) == (len(expected), len(expected))
        lines = [json.loads(line) for line in file.getvalue().splitlines()]
        assert sorted(line["text"] for line in lines if line["is"] == "fact") == expected
        assert len(self.view.rejections()) == 0

    def by_recall(self) -> None:
        middle = START + dt.timedelta(minutes=len(self.world.said) / 2)
        self.same(self.view.recall("secret", kinds=KINDS, limit=1000, neighbours=3), self.visible)
        since = self.view.recall("secret", kinds=KINDS, limit=1000, since=middle, neighbours=0)
        self.same(since, [said for said in self.visible if said.at >= middle])
        until = self.view.recall("secret", kinds=KINDS, limit=1000, until=middle, neighbours=0)
        self.same(until, [said for said in self.visible if said.at < middle])
        for ident in self.world.ids:
            labelled = [said for said in self.visible if said.label == ident]
            self.same(self.view.recall("secret", kinds=KINDS, limit=1000, where={"k": ident}, neighbours=0), labelled)
            if ident != "k":  # that is the one key that metadata have here
                self.same(self.view.recall("secret", kinds=KINDS, limit=1000, where={ident: ident}, neighbours=0), [])

    def same(self, found: Recollections, expected: list[Said]) -> None:
        """Check that all of these came, and that their neighbours are of their own threads."""
        owners = {said.number: (said.owner, said.thread) for said in self.visible}
        assert sorted(_numbers(item.message for item in found)) == sorted(said.number for said in expected)
        for item in found:
            for number in _numbers((item.message, *item.before, *item.after)):
                assert owners[number] == (item.owner, item.thread)

    def at_thread(self, ident: str) -> None:
        expected = [said.number for said in self.mine if said.thread == ident]
        chat = self.view.thread(ident)
        assert _numbers(chat.messages()) == expected
        assert _numbers(chat.messages(last=1000)) == expected
        assert _numbers(chat.window()) == expected
        assert _numbers(chat.iterate(batch=2)) == expected
        assert _numbers(chat.around(*self.world.ids, before=20, after=20)) == expected
        for said in (said for said in self.mine if said.thread == ident):
            assert _numbers(chat.around(said.ident, before=0, after=0)) == [said.number]
        known = chat.info()
        assert (known is None) == (not expected)
        self.same(chat.recall("secret", limit=1000, kinds=KINDS), [s for s in self.mine if s.thread == ident])
        context = chat.context("secret", last=2, limit=1000, exclude=["%"])
        assert _numbers(context.messages) == expected[-2:]
        shown = [item for item in context.recollections if item.kind == "message"]
        assert set(_numbers(item.message for item in shown)) <= {s.number for s in self.visible}
        facts = {item.text for item in context.recollections if item.kind == "fact"}
        assert facts <= {said.fact for said in self.visible}


def _after(change: Change) -> str:
    return "" if change.after is None else change.after.text


def _look_at_facts(world: World, memories: tuple[Memory, Memory]) -> None:
    """Hold up every fact and change of both tenants to every scope of each."""
    everyone = Scope(across_users=True)
    facts = [(n, fact) for n, m in enumerate(memories) for fact in ScopedMemory(m, everyone).facts(limit=1000)]
    changes = [(n, one) for n, m in enumerate(memories) for one in ScopedMemory(m, everyone).history(limit=1000)]
    for (tenant, memory), scope in itertools.product(enumerate(memories), world.scopes):
        view, record = ScopedMemory(memory, scope), memory._engine.record
        for of, fact in facts:
            if of == tenant and scope.covers(fact.owner):
                assert view.fact(fact.id) == fact
                assert [quote.owner for quote in view.sources(fact).quotes] == [fact.owner]
                continue
            for verb in (view.fact, view.sources, view.restore, view.retract, view.forget):
                try:
                    verb(fact if verb == view.forget else fact.id)  # type: ignore[operator]  # one of several verbs
                except FactNotFound:
                    continue
                raise AssertionError(f"{verb} reached a fact of somebody else")
            assert len(view.history(fact.id)) == 0
        seen = [(of, one) for of, one in changes if of == tenant and scope.covers(one.owner)]
        ids = tuple(one.id for _, one in changes)
        assert len(record.read(ReadHistory(scope, ids=ids, limit=1000))) == len(seen)
        raw = record.read(RawSources(scope, tuple(fact.id for _, fact in facts)))
        assert len(raw) == len(seen)
        named = tuple((None, ident) for ident in world.ids)
        assert len(record.read(MessageKeys(scope, named))) == len(world.of(tenant, scope))


def _look_at_keys(world: World, memories: tuple[Memory, Memory]) -> None:
    """Hold up every key of both tenants to every scope of each."""
    everyone = Scope(across_users=True)
    threads = [(n, thread) for n, m in enumerate(memories) for thread in ScopedMemory(m, everyone).threads(limit=1000)]
    loaded = [memory._engine.record.read(LoadScope(everyone, None, None)).messages for memory in memories]
    keys = tuple(int(key) for columns in loaded for key in columns.keys)
    for (tenant, memory), scope in itertools.product(enumerate(memories), world.scopes):
        view, record = ScopedMemory(memory, scope), memory._engine.record
        for of, thread in threads:
            found = view.find(thread.key)
            assert (found is not None) == (of == tenant and scope.covers(thread.owner))
            assert found is None or (found.owner, found.id) == (thread.owner, thread.id)
        visible = sorted(said.number for said in world.of(tenant, scope))
        fetched = record.read(FetchMessages(scope, tuple(key for key in keys if key > 0), 2)).values()
        assert sorted(_numbers(found.message for found in fetched)) == visible
        assert set(_numbers(m for found in fetched for m in (*found.before, *found.after))) <= set(visible)
        held = record.read(FetchFacts(scope, tuple(key for key in keys if key < 0))).values()
        assert sorted(fact.text for fact in held) == sorted(said.fact for said in world.of(tenant, scope))
        assert len(record.read(MatchMetadata(scope, {}))) == sum(bool(said.label) for said in world.of(tenant, scope))
    for tenant, memory in enumerate(memories):
        status = memory.status().record
        mine = world.of(tenant, everyone)
        assert (status.messages, status.owners) == (len(mine), len({said.owner for said in mine}))
        assert status.threads == len({(said.owner, said.thread) for said in mine})


def _forget(world: World, memories: tuple[Memory, Memory]) -> None:
    """Forget one scope of the first tenant: it all goes, and nothing else."""
    scope, everyone = world.scopes[0], Scope(across_users=True)
    gone = world.of(0, scope)
    assert ScopedMemory(memories[0], scope).forget().counts["messages"] == len(gone)
    for tenant, memory in enumerate(memories):
        left = [said for said in world.of(tenant, everyone) if said not in gone]
        found = ScopedMemory(memory, everyone).recall("secret", kinds=KINDS, limit=1000)
        assert sorted(_numbers(item.message for item in found)) == sorted(said.number for said in left)
    for memory in memories:
        ScopedMemory(memory, everyone).forget()
