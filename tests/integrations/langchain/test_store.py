"""The store: whose its items are, that they are memory, and that it stands where LangGraph's own fall."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.prebuilt import ToolRuntime
from langgraph.store.base import BaseStore, InvalidNamespaceError, Op, PutOp, SearchOp
from psycopg.conninfo import make_conninfo

from keepwell import Memory, PutItem, errors
from keepwell.storage.base import ReadStatus
from keepwell.testing import HashEmbedder
from langchain_keepwell import KeepwellStore, label, unlabel
from langchain_keepwell.testing import WordEmbeddings

from .agents import calling, following
from .conftest import Outage

ADA = ("memories", "ada")
SLOW = 0.3


@pytest.fixture
def store(memory: Memory) -> KeepwellStore:
    """Give a store whose items belong to the person that their namespace names."""
    return KeepwellStore(memory, owner=("memories", "{user_id}"))


def texts(memory: Memory, user: str, **asked: Any) -> list[str]:
    """Give what the standing facts of a person say."""
    return [fact.text for fact in memory.scope(user_id=user).facts(**asked)]


# --- whose they are


def test_a_namespace_names_the_owner(memory: Memory, store: KeepwellStore) -> None:
    """What is put below a person's namespace is that person's memory, and no other's."""
    store.put(ADA, "a", {"text": "tea"})
    store.put((*ADA, "deep", "down"), "b", {"text": "coffee"})
    store.put(("memories", "bob"), "a", {"text": "milk"})
    assert sorted(texts(memory, "ada")) == ["coffee", "tea"]
    assert texts(memory, "bob") == ["milk"]
    found = memory.scope(user_id="ada").recall("tea coffee milk")
    assert sorted((one.kind, one.text) for one in found) == [("fact", "coffee"), ("fact", "tea")]


def test_a_namespace_that_names_nobody(memory: Memory, store: KeepwellStore) -> None:
    """What fits no template is served as the rest, is in no person's recall, and is told in a receipt of forgetting."""
    for namespace in (("settings",), ("memories",), ("other", "ada")):
        store.put(namespace, "k", {"text": "tea"})
    store.put(ADA, "k", {"text": "coffee"})
    assert len(store.search(())) == 4
    assert len(store.search(("memories",))) == 2
    assert texts(memory, "ada") == ["coffee"]
    receipt = memory.scope(user_id="ada").forget()
    assert receipt.counts["facts"] == 1
    assert receipt.not_covered == ("3 items of stores in namespaces that name nobody",)
    assert {one.namespace for one in store.search(())} == {("settings",), ("memories",), ("other", "ada")}


@pytest.mark.parametrize(
    ("owner", "namespace", "ids"),
    [
        (("{user_id}",), ("ada",), ("ada", "", "")),
        (("u", "{user_id}", "{agent_id}"), ("u", "ada", "cook", "x"), ("ada", "cook", "")),
        (("user-{user_id}", "notes"), ("user-ada", "notes"), ("ada", "", "")),
        (("user-{user_id}", "notes"), ("user-ada", "other"), None),
        (("user-{user_id}",), ("user-",), None),
        (("{run_id}",), ("r1",), ("", "", "r1")),
        (("m", "{user_id}"), ("m", label("bob@mail.com")), ("bob@mail.com", "", "")),
        (lambda space: {"user_id": space[-1]} if len(space) > 1 else None, ("x", "ada"), ("ada", "", "")),
        (lambda space: {"user_id": space[-1]} if len(space) > 1 else None, ("x",), None),
    ],
)
def test_templates_and_functions(
    memory: Memory, owner: Any, namespace: tuple[str, ...], ids: tuple[str, str, str] | None
) -> None:
    """A template or a function says whose the items of a namespace are."""
    store = KeepwellStore(memory, owner=owner)
    store.put(namespace, "k", {"text": "tea"})
    (found,) = store.items.search(namespace)
    assert tuple(found.owner) == (ids or ("", "keepwell.nobody", ""))
    assert store.get(namespace, "k") is not None
    assert [one.key for one in store.search(namespace[:1])] == ["k"]
    assert [one.key for one in store.search(())] == ["k"]


def test_one_persons_store(memory: Memory, store: KeepwellStore) -> None:
    """A store of one person's ids has a tree of its own; what is in it is theirs, whatever the namespace."""
    hers, his = KeepwellStore(memory, user_id="ada"), KeepwellStore(memory, user_id="bob", agent_id="cook")
    hers.put(("notes",), "k", {"text": "tea"})
    his.put(("notes",), "k", {"text": "milk"})
    store.put(("notes",), "k", {"text": "nobody's"})
    assert [one.value["text"] for one in hers.search(())] == ["tea"]
    assert [one.value["text"] for one in his.search(())] == ["milk"]
    assert [one.value["text"] for one in store.search(())] == ["nobody's"]
    assert texts(memory, "ada") == ["tea"]
    assert his.list_namespaces() == [("notes",)]


def test_whose_they_are_is_said_once(memory: Memory) -> None:
    """Without an owner, or with two, or with a template that names nobody, no store is made."""
    for wrong in ({}, {"owner": ("{user_id}",), "user_id": "ada"}, {"owner": ("memories",)}, {"owner": ("{name}",)}):
        with pytest.raises(errors.UsageError):
            KeepwellStore(memory, **wrong)
    with pytest.raises(errors.InvalidScope):
        KeepwellStore(memory, user_id="")
    with pytest.raises(errors.InvalidScope, match="name"):
        KeepwellStore(memory, owner=lambda _: {"name": "ada"}).put(("x",), "k", {})


def test_a_run_says_nothing_about_it(memory: Memory, store: KeepwellStore) -> None:
    """The configuration of the run in which an item is put or read changes nothing about whose it is."""

    @tool
    def note(text: str, runtime: ToolRuntime[Any]) -> str:
        """Keep a note."""
        assert runtime.store is not None
        runtime.store.put(ADA, "noted", {"text": text})
        return "ok"

    agent: Any = create_agent(following(calling("note", text="Ada drinks tea"), _said("done")), [note], store=store)
    agent.invoke({"messages": [("user", "hi")]}, {"configurable": {"user_id": "bob", "thread_id": "t"}})
    assert texts(memory, "ada") == ["Ada drinks tea"]
    assert texts(memory, "bob") == []


def _said(text: str) -> Any:
    from langchain_core.messages import AIMessage

    return AIMessage(text)


def test_ids_that_labels_cannot_hold(memory: Memory) -> None:
    """Any id has a label, and the label leads back to it."""
    for ident in ("bob@mail.com", "", "a.b.", "%", "%2E", "100% sure", "a\x00b", "\ud800", "ü 🥜"):
        assert unlabel(label(ident)) == ident
        assert label(ident)
        assert "." not in label(ident)
    assert label("plain") == "plain"
    store = KeepwellStore(memory, owner=("m", "{user_id}"))
    with pytest.raises(InvalidNamespaceError):
        store.put(("m", "bob@mail.com"), "k", {})
    store.put(("m", label("bob@mail.com")), "k", {"text": "tea"})
    assert texts(memory, "bob@mail.com") == ["tea"]


def test_tenants_apart(open_memory: Callable[..., Memory]) -> None:
    """Stores of two tenants share nothing."""
    first, second = (KeepwellStore(open_memory(tenant=name), owner=("{user_id}",)) for name in ("one", "two"))
    first.put(("ada",), "k", {"text": "tea"})
    assert second.get(("ada",), "k") is None
    assert second.search((), query="tea") == second.list_namespaces() == []


# --- items are memory


def test_an_item_has_a_history(memory: Memory, store: KeepwellStore) -> None:
    """What an item was can be read back as of any instant, its changes are told, and can be taken back."""
    store.put(ADA, "drink", {"text": "tea"})
    before = dt.datetime.now(dt.UTC)
    store.put(ADA, "drink", {"text": "coffee", "hot": True})
    store.put(ADA, "drink", {"text": "coffee", "hot": True})
    store.delete(ADA, "drink")
    ada = memory.scope(user_id="ada")
    assert texts(memory, "ada", as_of=before) == ["tea"]
    changes = ada.history()
    assert [(one.kind, one.actor) for one in changes] == [("DELETE", "store"), ("UPDATE", "store"), ("ADD", "store")]
    ada.revert(changes[0])
    found = store.get(ADA, "drink")
    assert found is not None
    assert found.value == {"text": "coffee", "hot": True}
    assert [one.key for one in store.search(ADA, query="coffee")] == ["drink"]
    ada.revert(changes[1])
    assert [one.value for one in store.search(ADA)] == [{"text": "tea"}]


def test_an_item_is_forgotten(memory: Memory, store: KeepwellStore) -> None:
    """An item is forgotten with its owner or alone; then it is nowhere, and may be put again."""
    store.put(ADA, "a", {"text": "tea"})
    store.put(ADA, "b", {"text": "coffee"})
    ada = memory.scope(user_id="ada")
    (fact,) = ada.facts(key=next(one.key for one in ada.facts() if one.text == "tea"))
    receipt = ada.forget(fact)
    assert sum(ada.verify(receipt).values()) == 0
    assert [one.key for one in store.search(ADA)] == ["b"]
    store.put(ADA, "a", {"text": "tea"})
    assert store.get(ADA, "a") is not None
    assert sum(ada.verify(ada.forget()).values()) == 0
    assert store.search(()) == []


def test_the_verbs_leave_items_to_the_store(memory: Memory, store: KeepwellStore) -> None:
    """An item is not corrected beside its store; it can be retracted, and a fact may say the same."""
    store.put(ADA, "a", {"text": "tea"})
    ada = memory.scope(user_id="ada")
    (item,) = ada.facts()
    with pytest.raises(errors.UsageError, match="store"):
        ada.correct(item, "coffee")
    assert ada.remember("tea").id != item.id
    ada.retract(item)
    assert store.get(ADA, "a") is None
    assert texts(memory, "ada") == ["tea"]


def test_an_item_travels(memories: tuple[Memory, Memory], memory: Memory, tmp_path: Any) -> None:
    """Items are in an export, and are items where it is taken in."""
    store = KeepwellStore(memory, user_id="ada")
    store.put(("n",), "a", {"text": "tea", "n": 1})
    store.put(("n",), "b", {"text": "tea", "n": 2})
    memory.scope(user_id="ada").export(tmp_path / "ada.jsonl")
    memory.scope(user_id="ada").forget()
    memory.scope(user_id="ada").import_(tmp_path / "ada.jsonl")
    assert {one.key: one.value["n"] for one in store.search(("n",))} == {"a": 1, "b": 2}


def test_a_put_joins_a_transaction(memory: Memory, store: KeepwellStore) -> None:
    """With a connection a put is part of the caller's transaction, and undone with it."""
    with pytest.raises(ZeroDivisionError), memory.transaction() as tx:
        store.items.put(ADA, "k", {"text": "tea"}, connection=tx)
        raise ZeroDivisionError
    assert store.get(ADA, "k") is None
    with memory.transaction() as tx:
        store.items.put(ADA, "k", {"text": "tea"}, connection=tx)
        store.items.put(ADA, "k", {"text": "coffee"}, connection=tx)
    assert texts(memory, "ada") == ["coffee"]


def test_items_of_an_import(store: KeepwellStore) -> None:
    """Items that come from elsewhere keep their own times, a thousand in one go."""
    began, last = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    puts = [
        PutItem(ADA, f"k{n}", {"text": f"tea {n}"}, created_at=began, updated_at=last + dt.timedelta(seconds=n))
        for n in range(1500)
    ]
    store.items.perform(puts)
    found = store.search(ADA, limit=2000)
    assert [one.key for one in found] == [f"k{n}" for n in reversed(range(1500))]
    assert {one.created_at for one in found} == {began}


# --- where models and servers fail


def test_without_a_model(open_memory: Callable[..., Memory]) -> None:
    """Without an embedder words are what items are found by."""
    store = KeepwellStore(open_memory(embedder=None), owner=("{user_id}",))
    store.put(("ada",), "a", {"text": "green tea"})
    store.put(("ada",), "b", {"text": "old car"})
    found = store.search(("ada",), query="the cars")
    assert (found[0].key, len(found)) == ("b", 2)
    assert (found[0].score or 0) > (found[1].score or 0) == 0


class Failing(WordEmbeddings):
    """A model that fails as long as it is told to."""

    broken = True

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Fail, or embed."""
        if self.broken:
            raise ConnectionError("no model answers")
        return super().embed_documents(texts)


def test_a_model_that_fails_loses_nothing(open_memory: Callable[..., Memory]) -> None:
    """Where the model fails an item is kept, found by its words, and embedded later."""
    model = Failing()
    memory = open_memory(embedder=model)
    store = KeepwellStore(memory, owner=("{user_id}",))
    store.put(("ada",), "a", {"text": "green tea"})
    assert [one.key for one in store.search(("ada",), query="green tea")] == ["a"]
    score = store.search(("ada",), query="green tea")[0].score or 0
    model.broken = False
    memory.drain()
    assert (store.search(("ada",), query="green tea")[0].score or 0) > score + 0.5


def test_a_store_that_is_away(memory: Memory, store: KeepwellStore, outage: Outage) -> None:
    """While the store is away a search by a query gives nothing; all else raises, and with strict that too."""
    store.put(ADA, "k", {"text": "tea"})
    strict = KeepwellStore(memory, owner=("memories", "{user_id}"), strict=True)
    outage.begin()
    assert store.search(ADA, query="tea") == []
    assert asyncio.run(store.asearch(ADA, query="tea")) == []
    for use in (
        lambda: store.get(ADA, "k"),
        lambda: store.put(ADA, "k", {}),
        lambda: store.search(ADA),
        lambda: store.batch([SearchOp(ADA, query="tea"), PutOp(ADA, "k", {})]),
        lambda: strict.search(ADA, query="tea"),
    ):
        with pytest.raises(errors.StoreUnavailable):
            use()
    outage.end()
    assert [one.value for one in store.search(ADA, query="tea")] == [{"text": "tea"}]


def test_the_default_memory(memory: Memory) -> None:
    """Without a memory the store works with the default one."""
    assert memory.name == "default"
    store = KeepwellStore(user_id="ada")
    asyncio.run(store.aput(("n",), "k", {"text": "tea"}))
    assert texts(memory, "ada") == ["tea"]


# --- the defects that are known of LangGraph's store in PostgreSQL


def test_defect_a_numbers_are_compared_as_numbers(store: KeepwellStore) -> None:
    """2 and 9 are not at least 10."""
    for n in (2, 9, 10, 11):
        store.put(ADA, f"k{n}", {"n": n})
    assert {one.value["n"] for one in store.search(ADA, filter={"n": {"$gte": 10}})} == {10, 11}


def test_defect_b_no_stale_vector(open_memory: Callable[..., Memory]) -> None:
    """A text that is nowhere any more matches nothing, after an update, a shorter list, and without an index."""
    memory = open_memory(embedder=WordEmbeddings())
    store = KeepwellStore(memory, owner=("{user_id}",), fields=("list[*]",))
    store.put(("ada",), "k", {"list": ["zebra", "horse"]})
    store.put(("ada",), "k", {"list": ["horse"]})
    assert (store.search(("ada",), query="zebra")[0].score or 0) < 0.3
    store.put(("ada",), "k", {"list": ["horse"]}, index=False)
    assert store.search(("ada",), query="horse") == []
    assert memory._engine.record.read(ReadStatus()).vectors == 0


def test_defect_c_pages_reach_everything(open_memory: Callable[..., Memory]) -> None:
    """Of 40 items with two fields each, pages of two reach all."""
    store = KeepwellStore(open_memory(embedder=WordEmbeddings()), owner=("{user_id}",), fields=("a", "b"))
    store.batch([PutOp(("ada",), f"k{n}", {"a": f"tea {n}", "b": "milk"}) for n in range(40)])
    pages = [store.search(("ada",), query="tea", limit=2, offset=start) for start in range(0, 40, 2)]
    assert len({one.key for page in pages for one in page}) == 40


def test_defect_d_minutes_have_fractions(store: KeepwellStore) -> None:
    """What lives for 0.4 minutes outlives its first read."""
    store.put(ADA, "k", {"n": 1}, ttl=0.4)
    assert [store.get(ADA, "k") is not None for _ in range(3)] == [True] * 3


def test_defect_e_no_lock_is_held_while_a_model_works(open_memory: Callable[..., Memory]) -> None:
    """Four puts with a slow model take as long as one, and a get beside them does not wait."""
    store = KeepwellStore(open_memory(embedder=WordEmbeddings(SLOW)), owner=("{user_id}",))
    store.put(("ada",), "ready", {"text": "x"})
    with ThreadPoolExecutor(4) as pool:
        start = time.perf_counter()
        puts = [pool.submit(store.put, ("ada",), f"k{n}", {"text": f"tea {n}"}) for n in range(4)]
        time.sleep(SLOW / 4)
        begun = time.perf_counter()
        store.get(("ada",), "ready")
        waited = time.perf_counter() - begun
        for put in puts:
            put.result()
        assert time.perf_counter() - start < 3 * SLOW
    assert waited < SLOW / 2


def test_defect_f_questions_are_embedded_as_questions(open_memory: Callable[..., Memory]) -> None:
    """A query goes to the model's own method for queries, awaited or not."""
    model = WordEmbeddings()
    store = KeepwellStore(open_memory(embedder=model), owner=("{user_id}",))
    store.put(("ada",), "k", {"text": "tea"})
    before = (model.documents, model.queries)
    store.search(("ada",), query="tea")
    asyncio.run(store.asearch(("ada",), query="tea"))
    assert (model.documents, model.queries) == (before[0], before[1] + 2)


def test_defect_g_reads_on_a_server_that_can_only_be_read(open_memory: Callable[..., Memory], dsn: str) -> None:
    """Where nothing can be written items are read, those that would live longer for it too."""
    KeepwellStore(open_memory(), owner=("{user_id}",)).put(("ada",), "k", {"text": "tea"}, ttl=5)
    reading = make_conninfo(dsn, options="-c default_transaction_read_only=on")
    with Memory.open(reading, embedder=HashEmbedder(), name="reading") as memory:
        store = KeepwellStore(memory, owner=("{user_id}",))
        assert store.get(("ada",), "k") is not None
        assert [one.key for one in store.search(("ada",))] == ["k"]
        assert [one.key for one in store.search((), query="tea")] == ["k"]
        assert store.list_namespaces() == [("ada",)]
        with pytest.raises(errors.StoreError):
            store.put(("ada",), "k", {})


def test_defect_h_awaited_with_exact_search(open_memory: Callable[..., Memory]) -> None:
    """There is nothing to set up, and an awaited store compares exactly where that is the right thing."""
    store = KeepwellStore(open_memory(embedder=WordEmbeddings()), owner=("{user_id}",))

    async def work() -> list[str]:
        await store.abatch([PutOp(("ada",), word, {"text": word}) for word in ("tea", "car", "cat")])
        return [one.key for one in await store.asearch(("ada",), query="car", limit=1)]

    assert asyncio.run(work()) == ["car"]


def test_defect_i_a_search_reads_its_namespace(memory: Memory, store: KeepwellStore, admin_dsn: str) -> None:
    """A search in a namespace passes over the vectors of that namespace, not over all there are."""
    store.batch([PutOp(("memories", f"u{n % 40}"), f"k{n}", {"text": f"tea {n}"}) for n in range(2000)])
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("analyze")
        before = _read(admin)
        for _ in range(10):
            assert len(store.search(("memories", "u7"), query="tea", limit=5)) == 5
        time.sleep(1.2)  # the server tells what was read a moment later
        assert _read(admin) - before < 10 * 50 * 4


def _read(admin: psycopg.Connection[Any]) -> int:
    admin.execute("select pg_stat_clear_snapshot()")
    row = admin.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'vector'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_defect_j_any_text_and_nested_filters(store: KeepwellStore) -> None:
    """NUL is kept; fields of fields are compared; ``$in`` and ``$or`` are known."""
    store.put(ADA, "a\x00", {"text": "nul \x00", "by": {"name": "Ada", "age": 9}})
    found = store.get(ADA, "a\x00")
    assert found is not None
    assert found.value["text"] == "nul \x00"
    for where in ({"by": {"name": "Ada"}}, {"by": {"age": {"$in": [9]}}}, {"$or": [{"by.age": 9}, {"x": 1}]}):
        assert len(store.search(ADA, filter=where)) == 1


# --- in agents, as langmem's tools use a store


@pytest.fixture
def langmem_like(store: KeepwellStore) -> list[Any]:
    """Give tools that manage and search memories in the store, in the shape of langmem's."""
    place: Mapping[str, tuple[str, ...]] = {"namespace": ("memories", "{user_id}")}

    def namespace(runtime: ToolRuntime[Any]) -> tuple[str, ...]:
        user = runtime.config["configurable"]["user_id"]
        return tuple(one.format(user_id=label(user)) for one in place["namespace"])

    @tool
    def manage_memory(content: str, runtime: ToolRuntime[Any], key: str = "one") -> str:
        """Keep a memory."""
        assert runtime.store is not None
        runtime.store.put(namespace(runtime), key, {"content": content})
        return f"created {key}"

    @tool
    async def search_memory(query: str, runtime: ToolRuntime[Any]) -> str:
        """Search the memories."""
        assert runtime.store is not None
        found = await runtime.store.asearch(namespace(runtime), query=query)
        return "; ".join(one.value["content"] for one in found)

    return [manage_memory, search_memory]


def test_in_an_agent(memory: Memory, store: KeepwellStore, langmem_like: list[Any]) -> None:
    """An agent keeps and finds memories of whom it talks to, in another run, and of nobody else."""
    kept: Any = create_agent(
        following(calling("manage_memory", content="likes tea"), _said("ok")), langmem_like, store=store
    )
    kept.invoke({"messages": [("user", "I like tea")]}, {"configurable": {"user_id": "ada@mail.com"}})

    async def ask(user: str) -> str:
        agent: Any = create_agent(
            following(calling("search_memory", query="tea"), _said("ok")), langmem_like, store=store
        )
        answer = await agent.ainvoke({"messages": [("user", "?")]}, {"configurable": {"user_id": user}})
        return str(next(one.content for one in answer["messages"] if one.type == "tool"))

    assert [asyncio.run(ask(user)) for user in ("ada@mail.com", "bob")] == ["likes tea", ""]
    assert texts(memory, "ada@mail.com") == ["likes tea"]


def test_many_threads(open_memory: Callable[..., Memory]) -> None:
    """Sixteen threads put, read, search and delete at once, and each finds what it put."""
    store: BaseStore = KeepwellStore(open_memory(embedder=HashEmbedder(), pool_size=8), owner=("{user_id}",))
    barrier = threading.Barrier(16)

    def work(number: int) -> None:
        barrier.wait()
        space = (f"u{number % 5}", str(number))
        ops: list[Op] = [PutOp(space, f"k{n}", {"text": f"tea {n}", "n": n}) for n in range(5)]
        store.batch(ops)
        store.put(space, "k0", {"text": "anew"})
        store.delete(space, "k1")
        assert {one.key for one in store.search(space, query="tea")} == {"k0", "k2", "k3", "k4"}
        found = store.get(space, "k0")
        assert found is not None
        assert found.value == {"text": "anew"}

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert len(store.search((), limit=1000)) == 16 * 4


def test_vectors_are_numbers_of_the_right_length(open_memory: Callable[..., Memory]) -> None:
    """A model that answers nonsense does not cost an item: it waits for its vector."""
    memory = open_memory(embedder=HashEmbedder())
    store = KeepwellStore(memory, user_id="ada")
    memory._engine.models.embedder.embed = lambda texts: np.zeros((1, 3), np.float32)  # type: ignore[method-assign,union-attr]
    store.put(("n",), "k", {"text": "tea"})
    assert store.get(("n",), "k") is not None
