"""What can be set about an owner or a thread, checked."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from keepwell.errors import UsageError


def days(span: float | dt.timedelta | None) -> float | None:
    """Give a retention in days.

    Raises:
        UsageError: it is not a number above 0.
    """
    if isinstance(span, dt.timedelta):
        return days(span / dt.timedelta(days=1))
    if span is not None and not _is_number(span):
        raise UsageError(f"retention is {span!r}; give a number of days above 0, or None")
    return span


def checked_policy(given: Mapping[str, object]) -> dict[str, Any]:
    """Give what was said of a policy, without what was not.

    Raises:
        UsageError: a text is no text, or a budget no number of 0 or more.
    """
    said = {name: value for name, value in given.items() if value is not ...}
    for name, value in said.items():
        if name in {"instructions", "never"} and not isinstance(value, str | None):
            raise UsageError(f"{name} must be text, not {type(value).__name__}")
        if name.endswith("_per_day") and value is not None and not _is_count(value):
            raise UsageError(f"{name} is {value!r}; give a whole number of 0 or more, or None")
    return said


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
