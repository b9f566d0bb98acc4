"""Any model that people have answers by a schema, or fails in a way that is ours."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from llama_index.core.llms import CompletionResponse, LLMMetadata, MockLLM
from llama_index.core.llms.custom import CustomLLM
from pydantic import BaseModel

from keepwell.errors import AnswerInvalid, LanguageModelFailed, MissingExtra, UsageError
from keepwell.models import Message
from keepwell.providers.language import MAX_ANSWER, Answer, LanguageModel
from keepwell.providers.language_guard import GuardedModel, is_passing
from keepwell.providers.language_models import language_model_of
from keepwell.testing import FailingModel, GarbageModel, ScriptedExtractor, ScriptedModel, SlowModel


class City(BaseModel):
    """A schema."""

    name: str


ASKED = [Message.system("Name a city."), Message.user("Where does {Ada} live?")]
LEEDS = '{"name": "Leeds"}'


def quick(given: Any, **options: Any) -> LanguageModel:
    """Adapt a model, with no waiting between tries."""
    return language_model_of(given, **{"seconds": 5.0, "attempts": 1, **options})


class WithSchema(FakeListChatModel):
    """A chat model that has a way of its own to a schema."""

    parsed: Any = None
    raw: str = LEEDS

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **_: Any) -> Any:
        from langchain_core.runnables import RunnableLambda

        assert include_raw
        usage = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
        message = AIMessage(self.raw, usage_metadata=usage)
        return RunnableLambda(lambda _: {"raw": message, "parsed": self.parsed, "parsing_error": None})


def test_a_langchain_model_answers_by_its_own_way() -> None:
    """Where the model knows schemas that is used, and its tokens are counted as it says."""
    answer = quick(WithSchema(responses=[], parsed=City(name="Leeds"))).ask(ASKED, City)
    assert answer == Answer(City(name="Leeds"), 11, 3, 1)
    assert quick(WithSchema(responses=[], parsed={"name": "Bath"})).ask(ASKED, City).value.name == "Bath"


def test_a_langchain_answer_that_was_not_parsed_is_read_from_its_words() -> None:
    """What the framework could not parse is looked at again, and repaired once by asking."""
    read = quick(WithSchema(responses=[], raw=f"Here you are: {LEEDS}")).ask(ASKED, City)
    assert (read.value.name, read.calls) == ("Leeds", 1)
    repaired = quick(WithSchema(responses=[LEEDS], raw="I think Leeds.")).ask(ASKED, City)
    assert (repaired.value.name, repaired.calls) == ("Leeds", 2)


@pytest.mark.parametrize("said", [LEEDS, f"Sure!\n```json\n{LEEDS}\n```\nAnything else?", f"It is {LEEDS}."])
def test_a_langchain_model_without_schemas_is_asked_in_words(said: str) -> None:
    """JSON alone, in a code fence or among words is read."""
    assert quick(FakeListChatModel(responses=[said])).ask(ASKED, City).value.name == "Leeds"


def test_a_wrong_answer_is_repaired_once() -> None:
    """After one wrong answer the model is told what is wrong; after two the answer is invalid."""
    answer = quick(FakeListChatModel(responses=['{"town": "Leeds"}', LEEDS])).ask(ASKED, City)
    assert (answer.value.name, answer.calls) == ("Leeds", 2)
    with pytest.raises(AnswerInvalid, match="no JSON"):
        quick(FakeListChatModel(responses=["Leeds", "Leeds!", LEEDS])).ask(ASKED, City)


def test_an_answer_that_is_too_long_is_refused_unread() -> None:
    """Ten megabytes are neither parsed nor asked for again."""
    model = FakeListChatModel(responses=["x" * 10_000_000, LEEDS])
    with pytest.raises(AnswerInvalid, match=f"at most {MAX_ANSWER:,}"):
        quick(model).ask(ASKED, City)


def test_a_model_that_answers_in_blocks_is_read() -> None:
    """Content as a list of parts counts as its text."""
    said = AIMessage([{"type": "text", "text": LEEDS}])
    assert quick(GenericFakeChatModel(messages=iter([said]))).ask(ASKED, City).value.name == "Leeds"


class Llama(CustomLLM):
    """An LLM of LlamaIndex that says what it is told to."""

    said: list[str]
    prompts: list[str]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="llama")

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        self.prompts.append(prompt)
        return CompletionResponse(text=self.said.pop(0))

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        raise NotImplementedError


def test_a_llama_index_model_answers() -> None:
    """An LLM of LlamaIndex answers by its own way to a schema, and braces in what was said stay what they are."""
    llama = Llama(said=[LEEDS], prompts=[])
    assert quick(llama).ask(ASKED, City).value.name == "Leeds"
    assert "Where does {Ada} live?" in llama.prompts[0]


def test_a_llama_index_model_is_repaired_too() -> None:
    """Where its own way fails it is asked in words, and once more for a wrong answer."""
    llama = Llama(said=["Leeds", "Leeds", LEEDS], prompts=[])
    assert quick(llama).ask(ASKED, City).value.name == "Leeds"
    with pytest.raises(AnswerInvalid):
        quick(MockLLM()).ask(ASKED, City)


@pytest.mark.parametrize("answer", [City(name="Leeds"), {"name": "Leeds"}, LEEDS, Answer(City(name="Leeds"), 7, 2)])
def test_a_function_is_a_model(answer: Any) -> None:
    """A function gives an instance, its fields, its JSON, or an answer with its cost."""

    def my_model(messages: Any, schema: Any) -> Any:
        assert [message.role for message in messages] == ["system", "user"]
        assert schema is City
        return answer

    model = quick(my_model)
    assert model.model == "my_model"
    assert model.ask(ASKED, City).value == City(name="Leeds")


def test_what_is_no_model_is_refused_with_what_is() -> None:
    """Numbers, names without a provider and unknown providers are errors of the caller."""
    for wrong in (42, "gpt", "openai:http://localhost/v1", "nobody:nothing"):
        with pytest.raises(UsageError):
            language_model_of(wrong)


def test_a_model_of_ours_is_taken_as_it_is() -> None:
    """What answers by the seam is not wrapped, and what is guarded is not guarded twice."""
    mine = ScriptedModel([])
    assert language_model_of(mine) is mine
    guarded = quick(lambda *_: LEEDS)
    assert language_model_of(guarded) is guarded


# --- patience


class Status(Exception):
    """An error with a status, as clients of servers have them."""

    def __init__(self, status_code: int) -> None:
        super().__init__("your secret words")
        self.status_code = status_code


def test_only_failures_of_the_way_are_tried_again() -> None:
    """A lost connection or a busy server is tried again; what the model refuses, or answers wrongly, is not."""
    for error, expected in (
        (ConnectionError(), 3),
        (Status(503), 3),
        (Status(429), 3),
        (Status(400), 1),
        (ValueError(), 1),
    ):
        inner = FailingModel(error)
        with pytest.raises(LanguageModelFailed):
            GuardedModel(inner, attempts=3, pause=0.001).ask(ASKED, City)
        assert inner.calls == expected
    wrong = ScriptedModel([{"town": 1}, {"name": "Leeds"}])
    with pytest.raises(AnswerInvalid):
        GuardedModel(wrong, attempts=3, pause=0.001).ask(ASKED, City)
    assert wrong.calls == 1


def test_a_model_that_comes_back_answers() -> None:
    """One failure on the way costs a try, not the answer."""
    inner = ScriptedModel([ConnectionError(), {"name": "Leeds"}])
    assert GuardedModel(inner, pause=0.001).ask(ASKED, City).value.name == "Leeds"


def test_a_slow_model_is_not_waited_for() -> None:
    """After the deadline the call ends, though the model goes on."""
    slow = SlowModel(5.0, then=lambda *_: {"name": "Leeds"})
    started = time.perf_counter()
    with pytest.raises(LanguageModelFailed, match="gave no answer in 0.05 s"):
        GuardedModel(slow, seconds=0.05, attempts=1).ask(ASKED, City)
    assert time.perf_counter() - started < 2


def test_a_model_that_keeps_failing_rests() -> None:
    """After five failures in a row it is not asked for a while; wrong answers do not count as failures."""
    failing = FailingModel(ValueError())
    guarded = GuardedModel(failing, attempts=1)
    for _ in range(8):
        with pytest.raises(LanguageModelFailed):
            guarded.ask(ASKED, City)
    assert failing.calls == 5
    wrong = ScriptedModel([{"town": 1}] * 8)
    guarded = GuardedModel(wrong, attempts=1)
    for _ in range(8):
        with pytest.raises(AnswerInvalid):
            guarded.ask(ASKED, City)
    assert wrong.calls == 8


def test_an_error_never_repeats_what_was_said() -> None:
    """Messages of foreign errors may hold the prompt: only their kind is told."""
    with pytest.raises(LanguageModelFailed) as caught:
        GuardedModel(FailingModel(Status(400)), attempts=1).ask(ASKED, City)
    assert "secret words" not in str(caught.value)
    assert "status 400" in str(caught.value)
    assert isinstance(caught.value.__cause__, Status)


def test_an_invalid_answer_is_not_quoted() -> None:
    """The reason names the place in the schema, never the words."""
    with pytest.raises(AnswerInvalid) as caught:
        ScriptedModel([{"name": ["hunter2"]}]).ask(ASKED, City)
    assert "name" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_errors_of_ours_are_not_of_the_way() -> None:
    """An answer that was judged already is never asked for again."""
    assert not is_passing(LanguageModelFailed("x"))
    assert is_passing(Status(529))


# --- servers that speak OpenAI's protocol


class Server(BaseHTTPRequestHandler):
    """Answers chat completions as the test wants."""

    statuses: list[int]
    seen: list[dict[str, Any]]
    keys: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(body)
        self.keys.append(self.headers["authorization"])
        status = self.statuses.pop(0) if self.statuses else 200
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": LEEDS}}
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        whole = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        answer = json.dumps(whole if status == 200 else {"error": {"message": "no"}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def server(*statuses: int) -> Iterator[tuple[str, type[Server]]]:
    """Run a server of one test."""
    handler = type("Handler", (Server,), {"statuses": list(statuses), "seen": [], "keys": []})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"openai:http://127.0.0.1:{http.server_port}/v1#local-model", handler
        http.shutdown()
        thread.join()


def test_a_server_is_asked_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema goes with the request, tokens come from the server, and nobody's key is sent to it unasked."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    with server() as (address, seen):
        model = quick(address)
        assert model.model == "local-model"
        assert model.ask(ASKED, City) == Answer(City(name="Leeds"), 9, 4, 1)
    assert seen.seen[0]["response_format"]["json_schema"]["schema"]["required"] == ["name"]
    assert [message["role"] for message in seen.seen[0]["messages"]] == ["system", "user"]
    assert seen.keys == ["Bearer none"]


def test_a_server_that_knows_no_schemas_is_asked_in_words() -> None:
    """A refusal of the schema is remembered, and JSON is asked for in words from then on."""
    with server(400) as (address, seen):
        model = quick(address, api_key="k")
        assert model.ask(ASKED, City).value.name == "Leeds"
        assert model.ask(ASKED, City).value.name == "Leeds"
    assert ["response_format" in body for body in seen.seen] == [True, False, False]
    assert "JSON schema" in seen.seen[1]["messages"][0]["content"]
    assert set(seen.keys) == {"Bearer k"}


def test_a_busy_server_is_tried_again() -> None:
    """A status that passes costs a try."""
    with server(503) as (address, seen):
        model = language_model_of(address, attempts=2)
        assert model.ask(ASKED, City).value.name == "Leeds"
        assert len(seen.seen) == 2


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address needs a package that is an extra; the error says which."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"keepwell\[openai\]"):
        language_model_of("openai:http://localhost:1/v1#m")


def test_a_refused_schema_is_remembered() -> None:
    """A framework's model whose server refuses the schema is asked in words from then on, and not twice each time."""

    class Refusing(WithSchema):
        refused: int = 0

        def with_structured_output(self, schema: Any, *, include_raw: bool = False, **_: Any) -> Any:
            self.refused += 1
            raise Status(400)

    given = Refusing(responses=[LEEDS])
    model = quick(given)
    for _ in range(3):
        assert model.ask(ASKED, City).value.name == "Leeds"
    assert given.refused == 1


def test_names_are_langchains(monkeypatch: pytest.MonkeyPatch) -> None:
    """``provider:model`` is made by LangChain, where it is installed."""
    import langchain.chat_models

    made = []

    def init(name: str) -> Any:
        made.append(name)
        return FakeListChatModel(responses=[LEEDS])

    monkeypatch.setattr(langchain.chat_models, "init_chat_model", init)
    assert quick("anthropic:claude").ask(ASKED, City).value.name == "Leeds"
    assert made == ["anthropic:claude"]


# --- scripted models


def test_scripted_models_count_and_keep_what_they_were_asked() -> None:
    """Calls and tokens are counted; the messages can be looked at; a script that is over says so."""
    model = ScriptedModel([City(name="Leeds")])
    model.ask(ASKED, City)
    assert (model.calls, model.asked) == (1, [ASKED])
    assert model.input_tokens > 0 < model.output_tokens
    with pytest.raises(AnswerInvalid, match="no further answer"):
        model.ask(ASKED, City)


def test_the_models_of_the_kit_fit_the_seam() -> None:
    """Each of them is a language model."""
    kit = (ScriptedModel([]), ScriptedExtractor(), FailingModel(), SlowModel(0.0), GarbageModel("empty"))
    assert all(isinstance(model, LanguageModel) for model in kit)
