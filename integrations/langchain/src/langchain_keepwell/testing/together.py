"""Promises of many at once, of awaiting, and of not standing in one another's way."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from langgraph.store.base import BaseStore, GetOp, PutOp

from langchain_keepwell.testing.base import MakeStore, Promises, StoreOptions, WordEmbeddings, keys

SLOW = 0.25
"""Seconds that a model takes here."""


class TogetherPromises(Promises):
    """What a store promises when it is used by several, and when it is awaited."""

    # --- threads

    def test_one_key_from_all(self, store: BaseStore) -> None:
        """Puts of one key at once leave one of the values."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: store.put(("n",), "k", {"n": n}), range(40)))
        (found,) = store.search(("n",))
        assert found.value["n"] in range(40)

    def test_many_keys_from_all(self, store: BaseStore) -> None:
        """No put is lost."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: store.put(("n", str(n % 3)), f"k{n}", {"n": n}), range(80)))
        assert sorted(one.value["n"] for one in store.search(("n",), limit=100)) == list(range(80))

    def test_a_slow_model_holds_up_nobody(self, make_store: MakeStore) -> None:
        """While a model embeds for one, others put and get."""
        self.needs("search")
        store = make_store(StoreOptions(WordEmbeddings(SLOW)))
        store.put(("n",), "ready", {"text": "x"})
        with ThreadPoolExecutor(6) as pool:
            start = time.perf_counter()
            puts = [pool.submit(store.put, ("n",), f"k{n}", {"text": f"tea {n}"}) for n in range(4)]
            time.sleep(SLOW / 5)
            begun = time.perf_counter()
            assert store.get(("n",), "ready") is not None
            waited = time.perf_counter() - begun
            for put in puts:
                put.result()
            taken = time.perf_counter() - start
        assert waited < SLOW / 2
        assert taken < 3 * SLOW

    # --- awaiting

    def test_awaited(self, make_store: MakeStore) -> None:
        """Every method has a twin that is awaited and does the same."""
        self.needs("async", "search")
        store = make_store(StoreOptions(WordEmbeddings()))

        async def work() -> None:
            await store.aput(("n", "x"), "k", {"text": "green tea"})
            await store.aput(("n", "x"), "l", {"text": "old car"})
            found = await store.aget(("n", "x"), "k")
            assert found is not None
            assert found.value == {"text": "green tea"}
            assert (await store.asearch(("n",), query="car"))[0].key == "l"
            assert await store.alist_namespaces(max_depth=1) == [("n",)]
            assert await store.abatch([GetOp(("n", "x"), "none"), PutOp(("n", "x"), "m", {"text": "z"})]) == [
                None,
                None,
            ]
            await store.adelete(("n", "x"), "k")
            assert sorted(keys(await store.asearch(("n",)))) == ["l", "m"]

        asyncio.run(work())

    def test_from_any_loop(self, make_store: MakeStore) -> None:
        """A store is bound to no loop: the next one may use it, and threads beside it."""
        self.needs("async")
        store = make_store(StoreOptions())
        asyncio.run(store.aput(("n",), "a", {"n": 1}))
        asyncio.run(store.aput(("n",), "b", {"n": 2}))
        store.put(("n",), "c", {"n": 3})
        assert len(asyncio.run(store.asearch(("n",)))) == 3

    def test_many_awaited_at_once(self, make_store: MakeStore) -> None:
        """Many are awaited at once, a slow model among them, and the loop is not held up."""
        self.needs("async", "search")
        store = make_store(StoreOptions(WordEmbeddings(SLOW)))

        async def work() -> float:
            start = time.perf_counter()
            await asyncio.gather(
                *(store.aput(("n",), f"k{n}", {"text": f"tea {n}"}) for n in range(8)), asyncio.sleep(0)
            )
            return time.perf_counter() - start

        assert asyncio.run(work()) < 5 * SLOW
        assert len(store.search(("n",), limit=20)) == 8
