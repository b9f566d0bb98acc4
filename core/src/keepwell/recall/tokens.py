"""How many tokens a text will cost: an estimate that needs no vocabulary and downloads nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeAlias

from keepwell.models import DataPart, MediaPart, Message, ReasoningPart, TextPart

Counter: TypeAlias = Callable[[str], int]

PER_MESSAGE = 4
"""What roles and separators cost in chat formats, per message."""
PER_MEDIA = 800
"""What an image or a page of a file costs, about."""
_PIECE = re.compile(r"[A-Za-z]+|\d{1,3}|[^\sA-Za-z\d]")


def estimate(text: str) -> int:
    """Give about the tokens of a text: a word in six letters, up to three digits, any other character."""
    return sum(1 + (len(piece) - 1) // 6 for piece in _PIECE.findall(text))


def count_message(message: Message, counter: Counter = estimate) -> int:
    """Give about the tokens of a message: words, reasoning, media, tool names and their arguments."""
    total = PER_MESSAGE
    for part in message.parts:
        match part:
            case TextPart() | ReasoningPart():
                total += counter(part.text)
            case MediaPart():
                total += PER_MEDIA
            case DataPart():
                total += counter(_flat(part.value))
            case _:
                pass
    return total + sum(counter(call.name) + counter(_flat(call.args)) for call in message.tool_calls)


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
