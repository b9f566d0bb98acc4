"""What is built for others to install."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = ("core", "integrations/langchain", "integrations/llama-index")


@pytest.mark.parametrize("member", MEMBERS)
def test_the_wheel_has_every_file_of_the_package(member: str, tmp_path: Path) -> None:
    """Code, SQL, samples and type marker are all in the wheel, with the licence, and nothing else is."""
    names = built(member, tmp_path)
    source = ROOT / member / "src"
    files = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    kept = {path.as_posix() for path in files if not any(part.startswith((".", "__pycache__")) for part in path.parts)}
    assert {name for name in names if ".dist-info/" not in name} == kept
    assert any(name.endswith("py.typed") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_namespace_of_llama_index_stays_open(tmp_path: Path) -> None:
    """The wheel puts no `__init__.py` into packages that belong to LlamaIndex, which would hide all others."""
    names = built("integrations/llama-index", tmp_path)
    assert not {"llama_index/__init__.py", "llama_index/memory/__init__.py"} & set(names)


def built(member: str, into: Path) -> list[str]:
    """Build the wheel with the locked backend, and list what is in it."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
    subprocess.run(command, cwd=ROOT / member, check=True, capture_output=True)
    with zipfile.ZipFile(next(into.glob("*.whl"))) as wheel:
        return wheel.namelist()
