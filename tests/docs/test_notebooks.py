"""The notebooks run from top to bottom, as someone meets them who has no key and no server."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TABLES = 9
"""Status, messages, threads, recollections, windows, a context and a receipt show themselves in the quickstart."""


def read(path: Path) -> NotebookNode:
    """Give a notebook as it is in the repository."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    return notebook


@cache
def executed(path: Path, environment: tuple[tuple[str, str], ...]) -> NotebookNode:
    """Give the notebook after a run in a kernel of its own, which stops at the first error."""
    notebook = read(path)
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}})
    return client.execute(env=dict(environment))


def shown(notebook: NotebookNode, kind: str) -> Iterator[str]:
    """Give what the cells show in one kind of media."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if kind in output.get("data", {}):
                yield output["data"][kind]


def printed(notebook: NotebookNode, stream: str) -> str:
    """Give what the cells wrote to a stream."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output["text"] for output in outputs if output.get("name") == stream)


@pytest.fixture
def quickstart(reader: dict[str, str]) -> NotebookNode:
    """Give the quickstart after a run."""
    return executed(FOLDER / "quickstart.ipynb", tuple(sorted(reader.items())))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs(path: Path) -> None:
    """What a run showed is not kept, so a change of the notebook is a change of what it says."""
    cells = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_quickstart_runs_and_shows_itself(quickstart: NotebookNode) -> None:
    """The quickstart runs without an error, and what it makes shows itself as tables and progress bars."""
    html = list(shown(quickstart, "text/html"))
    assert sum("<table" in piece for piece in html) >= TABLES
    assert any("Lisbon" in piece for piece in html)
    assert any("cumin" in piece for piece in html)
    assert sum("<progress" in piece for piece in html) >= 1
    # the part of each framework ran: its package is installed here
    assert "pip install" not in printed(quickstart, "stdout")
    assert "<memory>" in printed(quickstart, "stdout")


def test_llamaindex_runs_and_shows_each_door(reader: dict[str, str]) -> None:
    """The notebook of LlamaIndex's doors runs without an error, and each door shows what it does."""
    notebook = executed(FOLDER / "llamaindex.ipynb", tuple(sorted(reader.items())))
    said = printed(notebook, "stdout")
    assert "Fried rice, without peanuts." in said
    assert said.count("I can't eat peanuts.") >= 4  # the agent's model, the block's, the retriever and a tool
    assert "Ada's sister is Priya." in said
    assert "Lisbon: yes" in said
    assert any("forgotten" in piece for piece in shown(notebook, "text/html"))


def test_langchain_runs_and_shows_each_door(reader: dict[str, str]) -> None:
    """The notebook of LangChain's doors runs without an error, and each door shows what it does."""
    notebook = executed(FOLDER / "langchain.ipynb", tuple(sorted(reader.items())))
    said = printed(notebook, "stdout")
    assert said.count("I can't eat peanuts.") >= 2  # the agent's model and the retriever
    assert "At seven." in said
    assert "Ada's sister is Priya." in said
    assert "soup {'title': 'Tomato soup', 'minutes': 9}" in said
    assert "['curry']" in said
    assert any("checkpoints" in piece for piece in shown(notebook, "text/html"))


def test_every_notebook_is_run() -> None:
    """A notebook that nobody runs is not there."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in source for path in NOTEBOOKS)
