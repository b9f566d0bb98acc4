"""Work that is told once and done in two ways: at once, or awaited without holding up the loop.

A script is a generator that yields calls of keepwell's verbs and is sent their answers. What a verb raises is
raised where it was yielded, so that a script may survive it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call:
    """A verb to be called; one that has no ``a`` twin is called on a thread beside the loop."""

    verb: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    has_twin: bool


Script: TypeAlias = Generator[Call, Any, R]


def call(verb: Callable[..., Any], *args: Any, **options: Any) -> Call:  # noqa: ANN401 - those of the verb
    """Give the call of a verb of keepwell's, which has an awaited twin: ``messages`` and ``amessages``."""
    return Call(verb, args, options, has_twin=True)


def beside(work: Callable[..., Any], *args: Any, **options: Any) -> Call:  # noqa: ANN401 - those of the work
    """Give the call of any other work that may wait."""
    return Call(work, args, options, has_twin=False)


def perform(script: Script[R]) -> R:
    """Carry a script out and give what it returns."""
    try:
        step = next(script)
        while True:
            try:
                answer = step.verb(*step.args, **step.options)
            except Exception as error:  # noqa: BLE001 - raised again, inside the script
                step = script.throw(error)
            else:
                step = script.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's value is untyped there


async def aperform(script: Script[R]) -> R:
    """Do the same without holding up the loop."""
    try:
        step = next(script)
        while True:
            try:
                answer = await _awaited(step)
            except Exception as error:  # noqa: BLE001 - as above
                step = script.throw(error)
            else:
                step = script.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # as above


async def _awaited(step: Call) -> Any:  # noqa: ANN401 - whatever the verb gives
    if not step.has_twin:
        return await asyncio.to_thread(step.verb, *step.args, **step.options)
    home = step.verb.__self__  # type: ignore[attr-defined]  # a verb is a bound method
    return await getattr(home, f"a{step.verb.__name__}")(*step.args, **step.options)
