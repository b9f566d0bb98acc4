"""Stores that are open in this process: one pool and one set of threads per store, however many doors there are."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from keepwell.storage.base import Store


class Companion(Protocol):
    """Something that is closed with a store."""

    def close(self) -> None:
        """Let go of its connections."""


@dataclass(eq=False)
class Opened:
    """A store in use, with its threads; ``release`` as often as it was taken, and it is closed."""

    store: Store
    key: Hashable
    at_close: Callable[[], None] | None = None
    users: int = 0
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict)
    _companions: dict[Hashable, Companion] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def executor(self) -> ThreadPoolExecutor:
        """Give the threads for database work: as many as there are connections."""
        return self._executor("store", self.store.size)

    def model_executor(self) -> ThreadPoolExecutor:
        """Give the threads on which a slow model is asked, so that a recall can stop waiting for it."""
        return self._executor("model", 4)

    def companion(self, key: Hashable, make: Callable[[], Companion]) -> Companion:
        """Give what goes along with the store, made by the first who asks and closed with it."""
        with self._lock:
            if key not in self._companions:
                self._companions[key] = make()
            return self._companions[key]

    def close(self) -> None:
        """Close the store and what goes along with it, and end the threads."""
        with self._lock:
            threads, self._threads = list(self._threads.values()), {}
            companions, self._companions = list(self._companions.values()), {}
        for companion in companions:
            companion.close()
        for pool in threads:
            pool.shutdown(wait=False, cancel_futures=True)
        self.store.close()
        if self.at_close is not None:
            self.at_close()

    def _executor(self, kind: str, size: int) -> ThreadPoolExecutor:
        name = f"keepwell-{kind}-{os.getpid()}"
        with self._lock:
            # After a fork the parent's threads are not here: the name carries the process.
            if name not in self._threads:
                self._threads[name] = ThreadPoolExecutor(size, thread_name_prefix=name)
            return self._threads[name]


class Registry:
    """The stores that are open in this process, by what they were opened with."""

    def __init__(self) -> None:
        """Begin with none; what is still open at the end of the process is closed then."""
        self._opened: dict[Hashable, Opened] = {}
        self._lock = threading.RLock()
        self._pid = os.getpid()
        atexit.register(self._close_all)

    def take(self, key: Hashable, make: Callable[[], Opened]) -> Opened:
        """Give the store of that key, opened by the first who asks."""
        with self._lock:
            opened = self._opened.get(key)
            if opened is None:
                opened = self._opened[key] = make()
            opened.users += 1
            return opened

    def release(self, opened: Opened) -> None:
        """Let go of a store once; the last one closes it."""
        with self._lock:
            opened.users -= 1
            if opened.users > 0:
                return
            self._opened.pop(opened.key, None)
        opened.close()

    def _close_all(self) -> None:
        if self._pid != os.getpid():
            return
        for opened in list(self._opened.values()):
            opened.close()
        self._opened.clear()
