"""Going through all pages of a listing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, overload

from keepwell.models import Change, Fact, Thread
from keepwell.storage.base import ListThreads, Record
from keepwell.storage.facts import ListFacts, ReadHistory

MAX_PAGE = 1000


@overload
def pages(record: Record, query: ListFacts) -> Iterator[Fact]: ...
@overload
def pages(record: Record, query: ReadHistory) -> Iterator[Change]: ...
@overload
def pages(record: Record, query: ListThreads) -> Iterator[Thread]: ...
def pages(record: Record, query: ListFacts | ReadHistory | ListThreads) -> Iterator[Fact | Change | Thread]:
    """Give everything that a listing has, holding a page at a time."""
    read: Callable[[Any], Any] = record.read  # which of the three it is, the checker cannot follow
    while True:
        page = read(query)
        yield from page
        if page.next is None:
            return
        query = replace(query, after=page.next)
