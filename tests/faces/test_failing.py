"""What goes wrong: one line, a code, never a trace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

from keepwell import errors
from keepwell.cli.failing import exit_code

AWAY = "postgresql://ada:s3cret@127.0.0.1:1/nowhere"
COMMANDS = (
    ("recall", "tea", "--user", "ada"),
    ("threads", "--user", "ada"),
    ("show", "t", "--user", "ada"),
    ("forget", "--user", "ada", "--yes"),
    ("status",),
    ("reembed",),
    ("drain",),
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(("dsn", "code"), [(AWAY, 4), ("this is no dsn", 2)], ids=["away", "nonsense"])
def test_a_server_that_is_not_there(
    command: Callable[..., Result], words: tuple[str, ...], dsn: str, code: int
) -> None:
    """Each command says in one line that nothing answers, or that this is no DSN, and never shows a password."""
    done = command(*words, "--dsn", dsn)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith("keepwell: ")
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("recall", " ", "--user", "ada"), 2, "InvalidQuery"),
        (("recall", "tea", "--user", "ada", "--limit", "0"), 2, "InvalidQuery"),
        (("recall", "tea", "--user", "ada", "--limit", "many"), 2, "UsageError"),
        (("recall", "tea", "--user", ""), 2, "InvalidScope"),
        (("recall", "tea"), 2, "InvalidScope"),
        (("recall", "tea", "--user", "ada", "--since", "yesterday"), 2, "UsageError"),
        (("recall", "--user", "ada"), 2, "UsageError"),
        (("recall", "tea", "--user", "ada", "--thread", "nix"), 3, "ThreadNotFound"),
        (("threads", "--user", "ada", "--limit", "0"), 2, "InvalidQuery"),
        (("threads", "--user", "ada", "--after", "nonsense"), 2, "InvalidQuery"),
        (("show", "nix", "--user", "ada"), 3, "ThreadNotFound"),
        (("show", "nix", "--user", "ada", "--last", "0"), 2, "InvalidQuery"),
        (("forget",), 2, "InvalidScope"),
        (("status", "--tenant", " "), 2, "InvalidScope"),
        (("status", "--schema", "Not A Name"), 2, "UsageError"),
        (("status", "--path", "/nowhere", "--dsn", AWAY), 2, "UsageError"),
        (("frobnicate",), 2, "UsageError"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_wrong_words(keepwell: Callable[..., Result], words: tuple[str, ...], code: int, kind: str) -> None:
    """A wrong call is one line with the error's class in JSON, the same line for people, and its code."""
    told = keepwell(*words, "--json")
    assert (told.exit_code, told.stdout) == (code, "")
    error = json.loads(told.stderr)["error"]
    assert (error["type"], error["code"]) == (kind, code)
    shown = keepwell(*words)
    assert shown.exit_code == code
    assert shown.stderr == f"keepwell: {error['message']}\n"


def test_codes_follow_the_tree_of_errors() -> None:
    """Wrong calls are 2, missing things 3, the store and models 4, anything else of ours 1."""
    codes = {
        errors.InvalidQuery: 2,
        errors.ImportFormatError: 2,
        errors.MessageNotFound: 3,
        errors.StoreUnavailable: 4,
        errors.EmbedderMismatch: 4,
        errors.ThreadExists: 4,
        errors.KeepwellError: 1,
    }
    assert {kind: exit_code(kind("x")) for kind in codes} == codes
    assert exit_code(errors.MissingExtra("local", "wordllama")) == 1


def test_without_typer_the_extra_is_named() -> None:
    """Installed without its extra, the command says what to install instead of raising."""
    program = "import sys; sys.modules['typer'] = None; from keepwell.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == ("keepwell: the command line needs typer; install it with: pip install 'keepwell[cli]'\n")


def test_help_and_version_load_no_driver_and_no_model() -> None:
    """What needs no store is answered without loading the database driver or the embedder."""
    program = (
        "import sys; sys.argv = ['keepwell', sys.argv[1]]\n"
        "from keepwell.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'psycopg', 'wordllama', 'langchain_core', 'llama_index'} & set(sys.modules)"
    )
    for word, said in (("--version", "keepwell 0."), ("--help", "recall")):
        done = subprocess.run(
            [sys.executable, "-c", program, word], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout


def test_every_command_explains_itself(command: Callable[..., Result]) -> None:
    """Each command is listed with what it does, and has help that names the options of the store."""
    listed = command("--help").stdout
    for name in "demo import recall threads show forget status schema migrate reembed drain stop upgrade".split():
        assert name in listed
        helped = command(name, "--help")
        assert helped.exit_code == 0
        assert "--dsn" in helped.stdout
        assert "--json" in helped.stdout


def test_options_may_stand_before_or_after_the_command(command: Callable[..., Result], dsn: str) -> None:
    """The store, and ``--json``, can be named on either side of the command."""
    before = command("--dsn", dsn, "--json", "status")
    after = command("status", "--dsn", dsn, "--json")
    assert json.loads(before.stdout)["place"] == json.loads(after.stdout)["place"]
