"""What agents and providers need of a memory, one promise a test: probes that LlamaIndex's own memories fail."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import Field

from keepwell import Memory, errors
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.kinds import HAS_THOUGHTS, HAS_TOOL_CALLS, ThinkingBlock, ToolCallBlock

# LlamaIndex's workflows look at every attribute of an agent, and so at those that pydantic has deprecated; its
# agents ask for one that its workflows have deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)
Make = Callable[..., KeepwellMemory]


def user(text: str) -> ChatMessage:
    """Give a person's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """Give a model's message."""
    return ChatMessage(role="assistant", content=text)


def system(text: str) -> ChatMessage:
    """Give an instruction."""
    return ChatMessage(role="system", content=text)


def calling(*ids: str, **args: Any) -> ChatMessage:
    """Give a model's message that calls tools, in the way of the installed LlamaIndex."""
    if HAS_TOOL_CALLS:
        blocks = [ToolCallBlock(tool_call_id=one, tool_name="search", tool_kwargs=args) for one in ids]
        return ChatMessage(role="assistant", blocks=blocks)
    calls = [{"id": one, "function": {"name": "search", "arguments": json.dumps(args)}} for one in ids]
    return ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": calls})


def answer(call: str, text: str = "found") -> ChatMessage:
    """Give a tool's answer."""
    return ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": call})


def calls_of(messages: list[ChatMessage]) -> list[str]:
    """Give the ids of the tool calls in messages."""
    blocks = [block for message in messages for block in message.blocks if block.block_type == "tool_call"]
    beside = [call for message in messages for call in message.additional_kwargs.get("tool_calls", [])]
    return [block.tool_call_id for block in blocks] + [call["id"] for call in beside]


def answers_of(messages: list[ChatMessage]) -> list[str]:
    """Give the ids of the tool calls that messages answer."""
    return [message.additional_kwargs["tool_call_id"] for message in messages if message.role == MessageRole.TOOL]


def contents(messages: list[ChatMessage]) -> list[str | None]:
    """Give the words of each message."""
    return [message.content for message in messages]


def words(text: str) -> int:
    """Count tokens so that a person can check them."""
    return len(text.split())


def cost(messages: list[ChatMessage]) -> int:
    """Give what messages of words cost, with four tokens for each."""
    return sum(4 + words(message.content or "") for message in messages)


class Told(CustomLLM):
    """A model that says what it is told to, and keeps what it was shown."""

    says: str
    shown: list[str] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        """Give no special abilities."""
        return LLMMetadata(is_chat_model=False)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **options: Any) -> CompletionResponse:
        """Say it."""
        self.shown.append(prompt)
        return CompletionResponse(text=self.says, delta=self.says)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **options: Any) -> Iterator[CompletionResponse]:
        """Say it at once."""
        self.shown.append(prompt)
        yield CompletionResponse(text=self.says, delta=self.says)


@pytest.fixture
def make(memory: Memory) -> Make:
    """Give a function that makes memories of one session, or another, in one store."""
    return lambda **options: KeepwellMemory.from_defaults(
        **{"memory": memory, "user_id": "ada", "session_id": "s", **options}
    )


@pytest.fixture
def chat(make: Make) -> KeepwellMemory:
    """Give the memory of a new session."""
    return make()


@pytest.fixture
def small(open_memory: Callable[..., Memory]) -> Make:
    """Give a function that makes memories whose tokens are words, and which recall nothing."""
    memory = open_memory(token_counter=words)
    return lambda limit, **options: KeepwellMemory.from_defaults(
        **{"memory": memory, "user_id": "ada", "session_id": "s", "recall_limit": 0, "token_limit": limit, **options}
    )


@contextmanager
def refusing(admin_dsn: str, word: str) -> Iterator[None]:
    """Make the database refuse messages that hold a word."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(
            "create function keepwell.refuse() returns trigger language plpgsql as "
            f"$$ begin if new::text like '%{word}%' then raise 'refused'; end if; return new; end $$"
        )
        admin.execute(
            "create trigger refuse before insert on keepwell.message for each row execute function keepwell.refuse()"
        )
        yield
        admin.execute("drop function keepwell.refuse cascade")


# The contract


async def test_empty(chat: KeepwellMemory) -> None:
    """A new session gives nothing, and no error."""
    assert (chat.get(), chat.get_all(), await chat.aget(), await chat.aget_all()) == ([], [], [], [])


async def test_order(chat: KeepwellMemory) -> None:
    """Messages come in the order in which they were put, on either way."""
    chat.put(user("a"))
    await chat.aput(assistant("b"))
    chat.put_messages([user("c"), assistant("d")])
    await chat.aput_messages([user("e"), assistant("f")])
    assert contents(await chat.aget()) == contents(chat.get_all()) == list("abcdef")


async def test_set_replaces(chat: KeepwellMemory) -> None:
    """``aset`` leaves nothing of the old history in sight."""
    await chat.aput_messages([user("old"), assistant("older")])
    await chat.aset([user("x"), assistant("y")])
    assert contents(await chat.aget()) == contents(await chat.aget_all()) == ["x", "y"]


async def test_reset(chat: KeepwellMemory) -> None:
    """After ``areset`` the session is empty, and can be gone on with."""
    await chat.aput(user("a"))
    await chat.areset()
    assert await chat.aget_all() == []
    await chat.aput(user("b"))
    assert contents(chat.get()) == ["b"]


async def test_get_kwargs(chat: KeepwellMemory) -> None:
    """``get`` takes arguments that it does not know: chat engines pass their own."""
    chat.put(user("a"))
    assert contents(chat.get(input=None, initial_token_count=7, other=1)) == ["a"]
    assert contents(await chat.aget(initial_token_count=7, session_id="x")) == ["a"]


async def test_last_is_user(make: Make) -> None:
    """The pending message of the person comes last, whatever is recalled and wherever it is put."""
    make(session_id="before").put_messages([user("I can't eat peanuts."), assistant("Noted.")])
    for position in ("user", "system"):
        chat = make(session_id=position, insert_position=position)
        await chat.aput_messages([user("hello"), assistant("hello"), user("which peanuts may I eat?")])
        window = await chat.aget()
        assert "I can't eat peanuts." in str(window)
        assert (window[-1].role, window[-1].blocks[-1].text) == ("user", "which peanuts may I eat?")


async def test_system_only_at_head(chat: KeepwellMemory) -> None:
    """Instructions stand before all else, also those that were given later."""
    await chat.aput_messages([system("one"), user("a"), assistant("b"), system("two"), user("c")])
    assert [message.role.value for message in await chat.aget()] == ["system", "system", "user", "assistant", "user"]


async def test_no_query_dup(chat: KeepwellMemory) -> None:
    """Asking for the words that were just put does not put them in again."""
    await chat.aput(user("what is tea?"))
    assert contents(await chat.aget(input="what is tea?")) == ["what is tea?"]
    assert contents(await chat.aget(input=user("what is tea?"))) == ["what is tea?"]


async def test_empty_batch(chat: KeepwellMemory) -> None:
    """No messages are no error."""
    await chat.aput_messages([])
    chat.put_messages([])
    await chat.aset([])
    assert await chat.aget_all() == []


# What a message is


async def test_tool_roundtrip(chat: KeepwellMemory) -> None:
    """Calls of tools and their answers come back as they were, with their ids."""
    turn = [user("q"), calling("c1", "c2", q="tea"), answer("c1"), answer("c2", "none"), assistant("so")]
    await chat.aput_messages(turn)
    assert await chat.aget_all() == turn == await chat.aget()


async def test_blocks_roundtrip(chat: KeepwellMemory) -> None:
    """Messages of several blocks keep each, in order."""
    thoughts = [ThinkingBlock(content="hm", additional_information={"signature": "s"})] if HAS_THOUGHTS else []
    blocks = [*thoughts, TextBlock(text="a"), ImageBlock(image=b"png", detail="low"), TextBlock(text="b")]
    said = ChatMessage(role="assistant", blocks=blocks)
    await chat.aput_messages([user("q"), said])
    assert (await chat.aget_all())[-1] == said


async def test_bytes_kwargs(chat: KeepwellMemory) -> None:
    """What a provider keeps beside the blocks comes back in its own types, bytes and tuples too."""
    said = ChatMessage("a", additional_kwargs={"thought_signatures": [b"\x00\xff", None], "at": (1, 2), "set": {3}})
    await chat.aput(said)
    assert (await chat.aget_all())[0].additional_kwargs == said.additional_kwargs


async def test_nul_surrogate(chat: KeepwellMemory) -> None:
    """Characters that a database refuses come back all the same."""
    await chat.aput(user("nul \x00 and half a pair \ud800"))
    assert contents(await chat.aget()) == ["nul \x00 and half a pair \ud800"]


async def test_return_isolated(chat: KeepwellMemory) -> None:
    """Whoever changes what it was given changes nothing of the history, the next time either."""
    await chat.aput_messages([user("a"), calling("c", q={"deep": [1]}), answer("c")])
    for window in (await chat.aget(), chat.get(), await chat.aget_all()):
        for message in window:
            message.additional_kwargs["cache_control"] = "x"
            for block in message.blocks:
                if block.block_type == "text":
                    block.text = "changed"
                elif block.block_type == "tool_call":
                    block.tool_kwargs["q"]["deep"].append(2)
            message.blocks.append(TextBlock(text="more"))
        window.clear()
    assert await chat.aget() == [user("a"), calling("c", q={"deep": [1]}), answer("c")]


async def test_put_isolated(chat: KeepwellMemory) -> None:
    """Whoever changes a message after it was put does not change what was put."""
    said = user("a")
    await chat.aput(said)
    said.blocks[0].text = "changed"
    said.additional_kwargs["x"] = 1
    assert await chat.aget_all() == [user("a")]
    assert said.additional_kwargs == {"x": 1}


# The window


async def test_pairing_under_pressure(small: Make) -> None:
    """However little fits, each call has its answers and each answer its call, and a person begins."""
    for limit in range(4, 130, 3):
        chat = small(limit, session_id=f"s{limit}")
        for turn in range(3):
            ids = [f"{turn}-{number}" for number in range(turn + 1)]
            await chat.aput(user(f"question {turn}"))
            await chat.aput_messages([calling(*ids, q="some words"), *map(answer, ids), assistant(f"answer {turn}")])
        window = await chat.aget()
        assert calls_of(window) == answers_of(window)
        assert (window[0].role, window[-1].content) == ("user", "answer 2")


async def test_budget(small: Make) -> None:
    """What is given stays within the limit, uses it, and keeps whole turns."""
    chat = small(100)
    await chat.aput_messages([one for n in range(50) for one in (user(f"question {n}"), assistant(f"answer {n}"))])
    window = await chat.aget()
    assert 88 <= cost(window) <= 100
    assert (window[0].role, window[-1].content) == ("user", "answer 49")


async def test_budget_counts_tool_args(small: Make) -> None:
    """The arguments of a tool call and the pictures of a person take room as words do."""
    chat = small(400)
    await chat.aput_messages([user("old"), calling("a", q="word " * 500), answer("a"), assistant("one"), user("new")])
    assert contents(await chat.aget()) == ["new"]
    pictures = small(400, session_id="pictures")
    await pictures.aput_messages([ChatMessage(blocks=[ImageBlock(image=b"x")]), assistant("nice"), user("new")])
    assert contents(await pictures.aget()) == ["new"]


async def test_system_kept(small: Make) -> None:
    """Instructions stay in sight however long the conversation is, those of its middle too."""
    chat = small(60)
    await chat.aput(system("be brief"))
    for turn in range(60):
        if turn == 10:
            await chat.aput(system("be kind"))
        await chat.aput_messages([user(f"question {turn}"), assistant(f"answer {turn}")])
    for window in (await chat.aget(), await small(60).aget()):
        assert contents(window[:2]) == ["be brief", "be kind"]
        assert window[-1].content == "answer 59"
        assert cost(window) <= 60


async def test_no_loss_get_all(small: Make) -> None:
    """What does not fit into the window is not lost."""
    chat = small(20)
    said = [one for n in range(40) for one in (user(f"q{n}"), assistant(f"a{n}"))]
    for message in said:
        await chat.aput(message)
    assert await chat.aget_all() == said


# Many at once


async def test_concurrent_puts(make: Make) -> None:
    """Tasks that put at once through one object, into a session that nobody has written, lose nothing."""
    chat = make(session_id="fresh")
    await asyncio.gather(*(chat.aput(user(f"m{n}")) for n in range(25)))
    assert sorted(contents(await chat.aget_all()), key=str) == sorted(f"m{n}" for n in range(25))
    assert await chat.aget() == await chat.aget_all()


async def test_concurrent_workers_flush(small: Make) -> None:
    """Workers that fill a window at once leave a full window, and a whole history."""
    workers = [small(60) for _ in range(4)]
    await asyncio.gather(
        *(
            worker.aput_messages([user(f"q{place}-{n}"), assistant(f"a{place}-{n}")])
            for n in range(10)
            for place, worker in enumerate(workers)
        )
    )
    for worker in workers:
        window = await worker.aget()
        assert 40 <= cost(window) <= 60
        assert len(await worker.aget_all()) == 80


@pytest.mark.parametrize("awaited", [False, True])
async def test_batch_atomic(make: Make, admin_dsn: str, *, awaited: bool) -> None:
    """Of a batch that fails, wherever it fails, nothing is stored."""
    chat = make(strict=True)
    chat.put(user("a"))
    batch = [calling("c1"), answer("c1"), assistant("poison")]
    with refusing(admin_dsn, "poison"), pytest.raises(errors.StoreError):
        await chat.aput_messages(batch) if awaited else chat.put_messages(batch)
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(errors.InvalidMessage):
        chat.put_messages([assistant("b"), ChatMessage("c", additional_kwargs={"deep": deep})])
    assert contents(chat.get_all()) == contents(chat.get()) == ["a"]


@pytest.mark.parametrize("awaited", [False, True])
async def test_set_atomic(chat: KeepwellMemory, admin_dsn: str, *, awaited: bool) -> None:
    """A history that cannot be replaced stays as it is; what has no form in JSON is no reason to fail."""
    chat.put_messages([user("a"), assistant("b")])
    history = [user("x"), assistant("poison")]
    with refusing(admin_dsn, "poison"), pytest.raises(errors.StoreError):
        await chat.aset(history) if awaited else chat.set(history)
    assert contents(chat.get_all()) == contents(chat.get()) == ["a", "b"]
    chat.set([user("x"), ChatMessage("y", additional_kwargs={"odd": object()})])
    assert contents(chat.get_all()) == ["x", "y"]


async def test_session_isolation(make: Make) -> None:
    """Another session, another person, and ids that look like SQL see nothing."""
    await make().aput(user("a secret"))
    for other in ({"session_id": "t"}, {"user_id": "bob"}, {"session_id": "s' OR '1'='1"}, {"session_id": "%"}):
        assert await make(**other).aget_all() == []
        assert await make(**other).aget(input="the secret?") == [] or "user_id" not in other
    stranger = make(user_id="bob' OR '1'='1")
    await stranger.aput(user("tell me the secret"))
    assert contents(await stranger.aget()) == ["tell me the secret"]


# Agents


async def test_context_roundtrip(chat: KeepwellMemory) -> None:
    """A context that went through JSON has the same memory, with all its messages, and no DSN."""
    agent = ReActAgent(tools=[], llm=Told(says="Thought: fine\nAnswer: ok"))
    context = Context(agent)
    await agent.run(user_msg="hello", memory=chat, ctx=context)
    written = json.dumps(context.to_dict(serializer=JsonSerializer()))
    assert "host=" not in written
    assert "password" not in written
    restored = Context.from_dict(agent, json.loads(written), serializer=JsonSerializer())
    again = await restored.store.get("memory")
    assert isinstance(again, KeepwellMemory)
    assert await again.aget_all() == await chat.aget_all() != []


@pytest.mark.parametrize("prompt", [None, "Be brief."])
async def test_react_memory_visible(make: Make, prompt: str | None) -> None:
    """A ReAct agent's model sees what was recalled, with and without instructions of its own."""
    make(session_id="before").put_messages([user("I can't eat peanuts."), assistant("Noted.")])
    told = Told(says="Thought: fine\nAnswer: none", shown=[])
    await ReActAgent(tools=[], llm=told, system_prompt=prompt).run(user_msg="which peanuts may I eat?", memory=make())
    assert "I can't eat peanuts." in told.shown[0]


async def test_state_prompt_not_persisted(chat: KeepwellMemory) -> None:
    """What an agent writes about its state into the message that it was given is not stored."""
    told = Told(says="Thought: fine\nAnswer: ok", shown=[])
    await ReActAgent(tools=[], llm=told, initial_state={"mood": "sunny"}).run(user_msg="hello", memory=chat)
    assert "sunny" in told.shown[0]
    assert chat.get_all()[0] == user("hello")
    assert "sunny" not in str(chat.get())


# Loops and threads


async def test_sync_in_running_loop(chat: KeepwellMemory) -> None:
    """Verbs that are not awaited work inside a running loop, before and after awaited ones."""
    await chat.aput(user("a"))
    chat.put(assistant("b"))
    await chat.aput(user("c"))
    assert contents(chat.get()) == ["a", "b", "c"]


def test_sync_threads(chat: KeepwellMemory) -> None:
    """Threads use one object at once, also after a loop has used it."""
    asyncio.run(chat.aput(user("loop")))
    threads = [threading.Thread(target=chat.put, args=(user(f"thread {number}"),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, contents(chat.get()))) == sorted(["loop", *(f"thread {number}" for number in range(8))])


def test_multiple_loops(chat: KeepwellMemory) -> None:
    """One object serves one loop after the other."""
    for number in range(3):
        asyncio.run(chat.aput_messages([user(f"q{number}"), assistant(f"a{number}")]))
        assert len(asyncio.run(chat.aget())) == 2 * (number + 1)
