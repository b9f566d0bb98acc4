"""A demonstration in acts: each a process of its own, on one data folder that nobody else uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keepwell.cli.demo.stage import Stage
from keepwell.errors import KeepwellError

_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Act:
    """What is announced, and the arguments that Python is started with."""

    title: str
    arguments: tuple[str, ...]


def perform(acts: Sequence[Act], stage: Stage | None) -> list[str]:
    """Play the acts one after the other, and give what each wrote to stdout: nothing where a stage shows it.

    Raises:
        KeepwellError: an act failed; its own words are on stderr.
    """
    begun = time.perf_counter()
    with data_folder() as folder:
        told = [_play(act, number, folder, stage) for number, act in enumerate(acts, 1)]
    if stage is not None:
        stage.ended(len(acts), time.perf_counter() - begun)
    return told


@contextmanager
def data_folder() -> Iterator[Path]:
    """Give a data folder of one's own; it goes, with its server, at the end."""
    place = Path(tempfile.mkdtemp(prefix="keepwell-demo-"))
    if sys.platform != "win32" and os.geteuid() == 0:
        place.chmod(0o711)  # for root the server runs as another user, who has to get in
    try:
        yield place / "store"
    finally:
        from keepwell.storage.postgres import embedded  # noqa: PLC0415 - an extra, when it is needed

        embedded.stop(place / "store")
        shutil.rmtree(place, ignore_errors=True)


def _play(act: Act, number: int, folder: Path, stage: Stage | None) -> str:
    begun = time.perf_counter()
    if stage is not None:
        stage.act(number, act.title)
    try:
        done = _run(act, folder, shown=stage is not None)
    except subprocess.TimeoutExpired:
        raise KeepwellError(f"the demonstration did not end its act {number} within {_SECONDS} s") from None
    if done.returncode:
        raise KeepwellError(f"the demonstration stopped in its act {number} ({act.title})")
    if stage is not None:
        stage.act_ended(time.perf_counter() - begun)
    return done.stdout or ""


def _run(act: Act, folder: Path, *, shown: bool) -> subprocess.CompletedProcess[str]:
    # Neither the settings nor the store of whoever runs this are touched.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPWELL_") or "_DEMO_" in name}
    return subprocess.run(  # noqa: S603 - this Python, with arguments of our own
        [sys.executable, *act.arguments],
        env={**kept, "KEEPWELL_PATH": str(folder), "PYTHONIOENCODING": "utf-8"},
        stdout=None if shown else subprocess.PIPE,
        text=True,
        encoding="utf-8",
        timeout=_SECONDS,
        check=False,
    )
