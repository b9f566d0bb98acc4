"""A worker in the background of a process: one thread that does what is due."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from keepwell.errors import KeepwellError, StoreClosed
from keepwell.work.draining import Drained, drain
from keepwell.work.tools import Tools

_log = logging.getLogger("keepwell.worker")
_LONGEST_REST = 300.0
_QUIET, _LONGEST_HOLD = 1.0, 300.0
"""Where it gives way to writes: it begins when there was none for so long, or when it waited so long for that."""


class Worker:
    """Does what is due, every ``pause`` seconds and when it is woken, until it is stopped.

    ``tools`` gives what it works with, anew for each round: models and space may change. An error is logged, and
    the worker rests for longer each time; it does not end. It is a daemon: it never keeps the process alive, and
    what it leaves undone stays due. ``quiet`` gives how many seconds ago this process wrote: who asks a processor
    for much beside somebody who writes holds that up, so that the work waits for a pause.
    """

    def __init__(
        self,
        tools: Callable[[], Tools],
        *,
        pause: float = 2.0,
        rounds_every: float = 3600.0,
        name: str = "default",
        quiet: Callable[[], float] | None = None,
    ) -> None:
        """Make a worker that does not run yet."""
        self._tools = tools
        self._quiet = quiet
        self._pause, self._rounds_every = pause, rounds_every
        self._name = f"keepwell-worker-{name}"
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._failures = 0

    @property
    def running(self) -> bool:
        """Whether it runs, in this process."""
        return self._thread is not None and self._thread.is_alive() and self._pid == os.getpid()

    def start(self) -> None:
        """Start it; where it runs already nothing happens."""
        if self.running:
            return
        self._ending.clear()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have it look now."""
        self._woken.set()

    def stop(self, timeout: float | None = 5.0) -> bool:
        """End it after the thread that it forms, waiting so long for that; tell whether it has ended."""
        self._ending.set()
        self._woken.set()
        thread = self._thread
        if thread is None or self._pid != os.getpid() or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _run(self) -> None:
        rounds_at = time.monotonic()
        while not self._ending.is_set():
            giving_way = self._hold_back()
            rounds = time.monotonic() >= rounds_at
            done = self._once(rounds=rounds, giving_way=giving_way)
            if done is not None and rounds:
                rounds_at = time.monotonic() + self._rounds_every
            self._woken.wait(self._rest())
            self._woken.clear()

    def _hold_back(self) -> bool:
        """Wait while this process writes; tell whether to go on giving way, or it has waited for too long."""
        began = time.monotonic()
        while not self._ending.is_set() and self._is_held_up():
            if time.monotonic() - began >= _LONGEST_HOLD:
                return False
            self._ending.wait(_QUIET / 4)
        return True

    def _is_held_up(self) -> bool:
        try:
            return self._quiet is not None and self._quiet() < _QUIET
        except StoreClosed:
            self._ending.set()
            return False

    def _once(self, *, rounds: bool, giving_way: bool = False) -> Drained | None:
        """Do one round, the rest of it later where it gives way to writes; None where it failed."""

        def stopping() -> bool:
            return self._ending.is_set() or (giving_way and self._is_held_up())

        try:
            done = drain(self._tools(), early=False, rounds=rounds, stopping=stopping)
        except StoreClosed:
            self._ending.set()
            return None
        except KeepwellError as error:
            self._failures += 1
            _log.warning("the worker rests for %.0f s: %s", self._rest(), error)
            return None
        except Exception:  # noqa: BLE001 - whatever it is, a worker that ends silently would be worse
            self._failures += 1
            _log.exception("the worker rests for %.0f s", self._rest())
            return None
        self._failures = 0
        return done

    def _rest(self) -> float:
        return min(_LONGEST_REST, self._pause * 2.0 ** min(self._failures, 20))
