"""Asynchronous twins of synchronous verbs, with the same signature."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from keepwell.memory.joining import OnLoop, is_asynchronous

if TYPE_CHECKING:
    from keepwell.memory.engine import Engine

P = ParamSpec("P")
R = TypeVar("R")


class HasEngine(Protocol):
    """Something that works through an engine."""

    @property
    def _engine(self) -> Engine: ...


S = TypeVar("S", bound=HasEngine)


def twin(verb: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Give the verb as a coroutine that does its database work on a thread of the store's.

    A ``connection=`` that is awaited itself is used on the caller's loop.
    """

    @wraps(verb)
    async def awaited(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        connection = kwargs.get("connection")
        if not is_asynchronous(connection):
            return await self._engine.run(verb, self, *args, **kwargs)
        kwargs["connection"] = bridge = OnLoop(connection)
        try:
            return await self._engine.run(verb, self, *args, **kwargs)
        except asyncio.CancelledError:
            await bridge.leave()
            raise

    awaited.__name__ = f"a{verb.__name__}"
    awaited.__qualname__ = awaited.__qualname__.replace(verb.__name__, awaited.__name__)
    awaited.__doc__ = f"Do what ``{verb.__name__}`` does, without holding up the loop."
    return cast("Callable[Concatenate[S, P], Coroutine[Any, Any, R]]", awaited)
