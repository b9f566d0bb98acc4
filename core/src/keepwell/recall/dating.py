"""When a message was said and of when it tells, against the times that a question names."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Ints, Times
from keepwell.recall.asking import Question
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.temporal import DAY, Span, spans

_AFTER_DAY, _AFTER_MONTH = 14 * DAY, 20 * DAY
"""How long after a day or a month people still tell what happened then."""
_LONG = 45 * DAY
"""A longer span says no more of a day than this one."""


def dated(question: Question, created: Times) -> NDArray[np.float32]:
    """Give 1 where a message was said at a time that is named (a day takes in its neighbours), one half soon after."""
    found = np.zeros(len(created), np.float32)
    for span in _asked(question, created):
        play, later = (DAY, _AFTER_DAY) if span.exact else (0.0, _AFTER_MONTH)
        inside = (created >= span.start - play) & (created < span.stop + play)
        after = (created >= span.stop) & (created < span.stop + later)
        found = np.maximum(found, np.where(inside, np.float32(1), np.where(after, np.float32(0.5), np.float32(0))))
    return found


def told(question: Question, snapshot: Snapshot, rows: Ints) -> NDArray[np.float32]:
    """Give how much of a time that a message tells of is in one that is named: *last week*, said a week later."""
    found = np.zeros(len(rows), np.float32)
    asked = _asked(question, snapshot.created[rows])
    if not asked:
        return found
    years = _years(snapshot.created[rows])
    for at, row in enumerate(rows.tolist()):
        for time in snapshot.named.get(row, ()):
            for span in spans(time, float(snapshot.created[row]), years):
                found[at] = max(found[at], *(_overlap(span, other) for other in asked))
    return found


def _overlap(told_of: Span, asked: Span) -> float:
    common = min(told_of.stop, asked.stop) - max(told_of.start, asked.start)
    wider = max(min(told_of.stop - told_of.start, _LONG), asked.stop - asked.start)
    return max(0.0, common) / wider


def _asked(question: Question, created: Times) -> list[Span]:
    if not question.times or not len(created):
        return []
    years = _years(created)
    return [span for time in question.times for span in spans(time, question.now, years)]


def _years(created: Times) -> range:
    first, last = (dt.datetime.fromtimestamp(float(edge), dt.UTC).year for edge in (created.min(), created.max()))
    return range(first, last + 1)
