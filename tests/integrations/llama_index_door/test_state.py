"""The state of LlamaIndex's workflows in the record: paused here, gone on with elsewhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step

from keepwell import Memory, Message, errors
from llama_index.memory.keepwell import (
    KeepwellChatStore,
    SavedContext,
    aforget_context,
    aload_context,
    asave_context,
    asaved_contexts,
    forget_context,
    load_context,
    save_context,
    saved_contexts,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

WORKFLOW = textwrap.dedent("""
    import asyncio, sys
    from keepwell import Memory
    from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
    from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent
    from llama_index.memory.keepwell import aload_context, asave_context

    class Booking(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> InputRequiredEvent:
            await ctx.store.set("place", ev.place)
            return InputRequiredEvent(prefix=f"book a room in {ev.place}?")

        @step
        async def book(self, ctx: Context, ev: HumanResponseEvent) -> StopEvent:
            return StopEvent(result=f"{await ctx.store.get('place')}: {ev.response}")

    async def begin(memory):
        handler = Booking().run(place="Lisbon \\x00 \\ud83c\\udfe8")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                await asave_context(memory, handler.ctx, "booking", user_id="ada")
                break
        await handler.cancel_run()

    async def finish(memory):
        flow = Booking()
        handler = flow.run(ctx=await aload_context(memory, flow, "booking", user_id="ada"))
        handler.ctx.send_event(HumanResponseEvent(response="yes"))
        print(ascii(await handler))

    with Memory.open(sys.argv[1], embedder=None) as memory:
        asyncio.run({"begin": begin, "finish": finish}[sys.argv[2]](memory))
""")


class Empty(Workflow):
    """A workflow that does nothing; its context is what is looked at."""

    @step
    async def only(self, ev: StartEvent) -> StopEvent:
        """End at once."""
        return StopEvent()


async def filled(**values: Any) -> Context[Any]:
    """Give a context that holds these values."""
    ctx = Context(Empty())
    for name, value in values.items():
        await ctx.store.set(name, value)
    return ctx


async def held(ctx: Context[Any], name: str = "n") -> Any:
    """Give what a context holds under a name."""
    return await ctx.store.get(name)


@pytest.mark.timeout(240)  # two processes that import a framework, on a machine that may be busy
def test_a_workflow_goes_on_in_another_process(dsn: str, tmp_path: Path) -> None:
    """A workflow that waits for a person's answer in one process is saved, and ends in another one."""
    script = tmp_path / "booking.py"
    script.write_text(WORKFLOW, encoding="utf-8")
    for part in ("begin", "finish"):
        done = subprocess.run(
            [sys.executable, str(script), dsn, part], capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ascii("Lisbon \x00 \U0001f3e8: yes")


async def test_versions(memory: Memory) -> None:
    """Each save is a version; the newest is loaded, or the one asked for; older ones go beyond ``keep``."""
    for n in range(1, 5):
        saved = await asave_context(memory, await filled(n=n), "trip", user_id="ada", keep=3)
        assert isinstance(saved, SavedContext)
        assert (saved.name, saved.version) == ("trip", n)
    assert await held(await aload_context(memory, Empty(), "trip", user_id="ada")) == 4
    assert await held(await aload_context(memory, Empty(), "trip", user_id="ada", version=2)) == 2
    for gone in (0, 1, 5):
        with pytest.raises(errors.NotFound):
            await aload_context(memory, Empty(), "trip", user_id="ada", version=gone)
    with pytest.raises(errors.UsageError):
        await asave_context(memory, await filled(n=9), "trip", user_id="ada", keep=0)


def test_it_works_without_a_loop(memory: Memory) -> None:
    """Every verb has a form that is called at once, and does the same."""
    assert saved_contexts(memory, user_id="ada") == []
    assert save_context(memory, asyncio.run(filled(n=1)), "trip", user_id="ada").version == 1
    assert asyncio.run(held(load_context(memory, Empty(), "trip", user_id="ada"))) == 1
    assert [one.name for one in saved_contexts(memory, user_id="ada")] == ["trip"]
    assert forget_context(memory, "trip", user_id="ada")
    assert not forget_context(memory, "trip", user_id="ada")
    with pytest.raises(errors.NotFound):
        load_context(memory, Empty(), "trip", user_id="ada")


async def test_a_save_overtakes_nobody(memory: Memory) -> None:
    """With ``expect`` a version is saved only after the one that it followed; of two workers one is told."""
    assert (await asave_context(memory, await filled(n=1), "trip", user_id="ada", expect=0)).version == 1
    with pytest.raises(errors.Conflict):
        await asave_context(memory, await filled(n=2), "trip", user_id="ada", expect=0)
    contexts = [await filled(n=n) for n in range(2, 6)]
    saves = (asave_context(memory, ctx, "trip", user_id="ada", expect=1) for ctx in contexts)
    outcome = await asyncio.gather(*saves, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcome) == ["Conflict", "Conflict", "Conflict", "SavedContext"]
    with pytest.raises(errors.Conflict):
        await asave_context(memory, contexts[0], "walk", user_id="ada", expect=3)
    assert await asaved_contexts(memory, user_id="ada") != []
    assert [one.version for one in await asaved_contexts(memory, user_id="ada")] == [2]


async def test_a_state_is_one_owners(memory: Memory) -> None:
    """Nobody else loads, lists or forgets it, not even another agent of the same person."""
    await asave_context(memory, await filled(n=1), "trip", user_id="ada")
    others: list[dict[str, str]] = [{"user_id": "bob"}, {"user_id": "ada", "agent_id": "cook"}]
    for other in others:
        with pytest.raises(errors.NotFound):
            await aload_context(memory, Empty(), "trip", **other)
        assert await asaved_contexts(memory, **other) == []
        assert not await aforget_context(memory, "trip", **other)
    assert await held(await aload_context(memory, Empty(), "trip", user_id="ada")) == 1
    for nobody in ({}, {"user_id": ""}):
        with pytest.raises(errors.InvalidScope):
            await asave_context(memory, await filled(n=1), "trip", **nobody)
    with pytest.raises(errors.UsageError):
        await asave_context(memory, await filled(n=1), user_id="ada")


async def test_it_goes_with_its_owner(memory: Memory) -> None:
    """Forgetting everything of a person forgets the states of their workflows."""
    await asave_context(memory, await filled(n=1), "trip", user_id="ada")
    memory.scope(user_id="ada").forget()
    with pytest.raises(errors.NotFound):
        await aload_context(memory, Empty(), "trip", user_id="ada")


@pytest.mark.parametrize("embedded", [True, False], ids=["vectors", "words"])
async def test_it_is_never_recalled(open_memory: Callable[..., Memory], embedded: bool) -> None:
    """What is in a state is no conversation: it is neither found nor listed among the keys of a chat store."""
    memory = open_memory(name="default") if embedded else open_memory(name="default", embedder=None)
    await asave_context(memory, await filled(secret="the password is swordfish"), "trip", user_id="ada")
    memory.drain()
    ada = memory.scope(user_id="ada")
    assert list(ada.recall("what is the password? swordfish?")) == []
    ada.thread("talk").append(Message.user("hello"))
    assert all(found.text == "hello" for found in ada.recall("what is the password? swordfish?"))
    assert await KeepwellChatStore(memory, user_id="ada").get_keys() == ["talk"]


async def test_a_memory_in_it_comes_back(memory: Memory) -> None:
    """An agent's own memory is in its context: it finds its store again, and the conversation goes on."""
    from llama_index.memory.keepwell import KeepwellMemory

    chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="trip")
    await chat.aput(ChatMessage("I can't eat peanuts."))
    ctx = await filled(memory=chat)
    saved = await asave_context(chat, ctx, serializer=JsonSerializer())
    assert saved.name == "trip"
    restored = await held(await aload_context(chat, Empty()), "memory")
    assert isinstance(restored, KeepwellMemory)
    assert [message.content for message in await restored.aget_all()] == ["I can't eat peanuts."]
    assert "postgres" not in str(memory.scope(user_id="ada").thread("llama_index.workflow/trip").messages())
    again = await held(await aload_context(memory, Empty(), "trip", user_id="ada"), "memory")
    assert again.to_dict() == restored.to_dict()
    with pytest.raises(errors.UsageError):
        await aload_context(chat, Empty(), user_id="bob")


async def test_a_failure_raises(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that could not be saved or read is an error, never a silence."""

    class Away:
        def read(self, query: Any) -> Any:
            raise errors.StoreUnavailable("no server answers")

        def write(self, change: Any, connection: Any = None) -> Any:
            raise errors.StoreUnavailable("no server answers")

    monkeypatch.setattr(memory._engine, "record", Away())
    with pytest.raises(errors.StoreUnavailable):
        await asave_context(memory, await filled(n=1), "trip", user_id="ada")
    with pytest.raises(errors.StoreUnavailable):
        await aload_context(memory, Empty(), "trip", user_id="ada")
