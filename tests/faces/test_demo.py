"""The demonstrations, as they are run: processes that share nothing but a store."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parents[2]
KEYS = ("KEEPWELL_", "OPENAI_", "ANTHROPIC_")


@pytest.fixture
def surroundings() -> dict[str, str]:
    """Give an environment without keys, in which nothing but the demonstration's own folder may be used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
    return {
        **kept,
        "KEEPWELL_DSN": "postgresql://nobody@127.0.0.1:1/not-to-be-used",
        "COLUMNS": "200",
    }


def test_an_agent_remembers_across_processes_and_frameworks(surroundings: dict[str, str]) -> None:
    """LangChain answers from what another process imported, LlamaIndex goes on with its thread; the model is named."""
    command = [sys.executable, str(ROOT / "demo" / "run.py")]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    told = re.split(r"process \d: ", done.stdout)[1:]
    assert [act.partition(" \u2500")[0] for act in told] == [
        "import the letters of two friends",
        "a LangChain chain answers by what it recalls",
        "a LlamaIndex agent goes on with the same thread",
    ]
    assert told[1].count("The model is SCRIPTED") == told[2].count("The model is SCRIPTED") == 1
    assert "written by LangChain" in told[2]
    assert "21st of October" in told[1]
    assert re.search(r"^A  I booked a table .* 21st of October", told[2], re.MULTILINE)
    assert re.findall(r"recalled for (\d) of (\d)", done.stdout) == [("5", "5"), ("4", "4")]
    assert "\x1b" not in done.stdout


def test_the_command_has_a_demo_of_its_own(surroundings: dict[str, str]) -> None:
    """``keepwell demo`` imports in one process and recalls in another, and tells it as a document, too."""
    command = [sys.executable, "-m", "keepwell", "demo", "--json"]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["imported"]["new"] == 427
    assert len(told["questions"]) == 8
    assert all(question["recalled"] for question in told["questions"])
    assert sum(question["evidence_recalled"] for question in told["questions"]) >= 7


class Fake(BaseHTTPRequestHandler):
    """A server that speaks as much of chat completions as a demonstration needs."""

    asked: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        """List one model."""
        self._answer({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        """Answer every question alike."""
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({"choices": [{"message": {"role": "assistant", "content": "To Ljubljana."}}]})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200 if self.path.startswith("/v1/") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def model_server() -> Iterator[str]:
    """Give the address of a model's server on this machine."""
    with HTTPServer(("127.0.0.1", 0), Fake) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the module of the demonstration that chooses a model, without keys."""
    for name in list(os.environ):
        if name.startswith(KEYS):
            monkeypatch.delenv(name)
    spec = importlib.util.spec_from_file_location("demo_model", ROOT / "demo" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo_model", module)
    spec.loader.exec_module(module)
    return module


def test_a_model_at_an_address_is_asked(model: ModuleType, model_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an address is set, that model answers, is named, and sees the whole prompt."""
    monkeypatch.setenv("KEEPWELL_DEMO_URL", model_server)
    chosen = model.choose()
    assert (chosen.scripted, chosen.name) == (False, f"tiny at {model_server}")
    assert "tiny" in chosen.introduction()
    assert chosen.answer([("system", "Be brief."), ("user", "Where to?")]) == "To Ljubljana."
    assert Fake.asked[-1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where to?"},
    ]


def test_a_model_that_does_not_answer_is_one_line(model: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nothing answers ends the demonstration with a sentence, not with a trace."""
    monkeypatch.setenv("KEEPWELL_DEMO_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(SystemExit, match="the model does not answer"):
        model.choose()


@pytest.mark.parametrize(
    ("key", "host"), [("OPENAI_API_KEY", "api.openai.com"), ("ANTHROPIC_API_KEY", "api.anthropic.com")]
)
def test_a_key_chooses_its_provider(model: ModuleType, monkeypatch: pytest.MonkeyPatch, key: str, host: str) -> None:
    """A key in the environment chooses that provider, and the reader is told where the questions go."""
    monkeypatch.setenv(key, "not-a-key")
    assert not model.choose().scripted
    assert host in model.choose().introduction()
    assert "not-a-key" not in repr(model.choose())
