"""How formation goes about its work: sizes, shares and texts, as one value."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

DISTIL_AGENT = "keepwell:distil"
"""The ``agent_id`` of the patterns that distillation writes."""


@dataclass(frozen=True, slots=True)
class FormationSettings:
    """What every formation of a store goes by.

    ``batch`` and ``batch_characters`` bound what one call of the model reads, ``before`` how many messages are shown
    ahead of it. ``instructions`` and ``never`` are texts for the extraction, ahead of those of an owner's policy;
    ``screens`` are further patterns (regular expressions) that never reach a model or a fact.
    ``assistant_facts`` and ``procedures`` take the agent's own messages as evidence too. ``guard_share`` and
    ``guard_floor`` bound what one answer may retract. ``distil_hour`` (UTC) is when distillation is due every day;
    None means never. ``retention_days`` is how long messages are kept where no policy says otherwise.
    ``graph``: whether names and relations are noted (a memory says so, where its store keeps them);
    ``merge_threshold``: how alike two are that are taken to be one.
    """

    batch: int = 20
    batch_characters: int = 24_000
    before: int = 6
    candidates: int = 40
    lease: dt.timedelta = dt.timedelta(minutes=5)
    retry_seconds: float = 30.0
    retry_most_seconds: float = 3600.0
    park_limit: int = 3
    min_confidence: float = 0.3
    guard_share: float = 0.5
    guard_floor: int = 3
    instructions: str = ""
    never: str = ""
    screens: tuple[str, ...] = ()
    assistant_facts: bool = False
    procedures: bool = False
    tokens_per_day: int | None = None
    calls_per_day: int | None = None
    distil_hour: int | None = 3
    distil_characters: int = 40_000
    retention_days: float | None = None
    graph: bool = False
    merge_threshold: float = 0.7
