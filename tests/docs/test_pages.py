"""Every page runs: the Python blocks of a page, from top to bottom, as the one program that a reader would type.

A block that needs a server elsewhere is marked ```` ```python skip ````; how many there may be is counted here.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "core/README.md")),
    *sorted(ROOT.glob("integrations/*/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
MOST_SKIPPED = 17


@dataclass(frozen=True)
class Block:
    """A fenced block of Python, the line of the page that its code begins on, and whether it is left out."""

    line: int
    code: str
    skipped: bool


def blocks(text: str) -> Iterator[Block]:
    """Give the Python blocks of a page, in order."""
    for token in MarkdownIt().parse(text):
        language, *marks = token.info.split() or [""]
        if token.type == "fence" and language in {"python", "py"} and token.map is not None:
            yield Block(token.map[0] + 1, token.content, skipped="skip" in marks)


def program(text: str) -> str:
    """Give a page as a program whose line numbers are those of the page."""
    lines = [""] * (text.count("\n") + 2)
    for block in blocks(text):
        if not block.skipped:
            code = block.code.splitlines()
            lines[block.line : block.line + len(code)] = code
    return "\n".join(lines)


def label(page: Path) -> str:
    """Give the page's path from the top of the project."""
    return page.relative_to(ROOT).as_posix()


RUNNING = [page for page in PAGES if program(page.read_text(encoding="utf-8")).strip()]


@pytest.mark.parametrize("page", RUNNING, ids=label)
def test_page_runs(page: Path, reader: dict[str, str], tmp_path: Path) -> None:
    """A reader who types a page from top to bottom, with no key and no server, meets no error and no warning."""
    script = tmp_path / "page.py"
    script.write_text(program(page.read_text(encoding="utf-8")), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=reader, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{label(page)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_no_block_is_hidden_from_the_runner(page: Path) -> None:
    """Every block of Python on a page is one that the runner sees, whatever it is indented by."""
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*(?:```|~~~)\s*py(?:thon)?\b", text, re.MULTILINE)) == len(list(blocks(text)))


def test_few_blocks_are_skipped() -> None:
    """Only what needs a server elsewhere is left out, and that is little."""
    skipped = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) if block.skipped]
    assert len(skipped) <= MOST_SKIPPED


def test_readme_is_executed() -> None:
    """The front page has examples, and they are among what runs."""
    assert ROOT / "README.md" in RUNNING


def test_commands_in_pages_exist() -> None:
    """Every `make` target that a page tells the reader to run is in the Makefile."""
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    command = re.compile(r"(?:^\$ |`)make ([a-z0-9]+)", re.MULTILINE)
    told = {target for page in PAGES for target in command.findall(page.read_text(encoding="utf-8"))}
    assert told <= targets
