"""What never reaches a model or a fact: secrets, and what was recalled into a message.

The patterns know forms that secrets have, not secrets: a password that is written as an ordinary sentence passes.
They are cut out before a model sees the text, and every statement is looked through again before it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from keepwell.errors import UsageError

Span = tuple[int, int]

_NAMES = r"pass(?:word|code|wd)s?|pwd|pin(?: code)?|(?:api|access|secret|auth)[ _-]?(?:key|token|code)s?"
_TOLD = r"(?:\s+(?:is|was|are)(?: now)?:?\s+|\s*[:=]\s*)"
_SECRETS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?s:.)*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}",
    r"\b(?:gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,})",
    r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{16,}",
    r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    rf"(?i:\b(?:{_NAMES}){_TOLD})[\"'\u201c]?\S*[^\s.,;!?]",
    rf"(?i:\b(?:pass|seed) ?phrases?{_TOLD})[^\n.!?]+",
)
_DIGITS = re.compile(r"(?<![\d.])\d+(?:[ -]\d+)*(?![\d.]*\d)")
_CARD_DIGITS = range(13, 20)
_MEMORY = re.compile(r"<memory\b[^>]*>(?s:.)*?(?:</memory>|\Z)", re.IGNORECASE)
_EVEN_CARD_DIGITS_MOST = 9


@dataclass(frozen=True, slots=True)
class Screen:
    """Patterns of what is cut out; make one with :func:`screen_of`."""

    patterns: tuple[re.Pattern[str], ...]

    def secrets(self, text: str) -> list[Span]:
        """Give where the text holds what must not be known, in order and without overlaps."""
        found = [match.span() for pattern in self.patterns for match in pattern.finditer(text) if match.end()]
        found += [span for match in _DIGITS.finditer(text) for span in _cards(match)]
        return _merged(found)

    def holds_secret(self, text: str) -> bool:
        """Tell whether a text holds what must not be known.

        Example:
            >>> screen_of().holds_secret("my card is 4111 1111 1111 1111")
            True
        """
        return bool(self.secrets(text))

    def hidden(self, text: str) -> list[Span]:
        """Give where a text is no evidence: secrets, and blocks that recall put there."""
        return _merged([*self.secrets(text), *(match.span() for match in _MEMORY.finditer(text))])

    def shown(self, text: str) -> str:
        """Give a text as a model may see it.

        Example:
            >>> screen_of().shown("The password is hunter2, by the way")
            'The [left out], by the way'
        """
        pieces, end = [], 0
        for start, stop in self.hidden(text):
            pieces += [text[end:start], "[left out]"]
            end = stop
        return "".join([*pieces, text[end:]])


@lru_cache(maxsize=64)
def screen_of(patterns: tuple[str, ...] = ()) -> Screen:
    """Give the screen of our patterns and these.

    Raises:
        UsageError: one is no regular expression.
    """
    return Screen(tuple(_compiled((*_SECRETS, *patterns))))


def _compiled(patterns: Sequence[str]) -> Iterable[re.Pattern[str]]:
    for pattern in patterns:
        try:
            yield re.compile(pattern)
        except re.error as error:
            raise UsageError(f"the screen {pattern!r} is no regular expression: {error}") from None


def _cards(digits: re.Match[str]) -> list[Span]:
    """Give where groups of digits that stand together are a card's number, whatever other groups stand beside them."""
    groups = [(match.start(), match.end()) for match in re.finditer(r"\d+", digits.group())]
    found = []
    for first, (start, _) in enumerate(groups):
        for _, end in groups[first:]:
            part = digits.group()[start:end]
            if sum(sign.isdigit() for sign in part) in _CARD_DIGITS and _is_card(part):
                found.append((digits.start() + start, digits.start() + end))
    return found


def _is_card(digits: str) -> bool:
    """Tell whether digits pass Luhn's check, which one number in ten does by chance."""
    total = 0
    for place, digit in enumerate(reversed([int(sign) for sign in digits if sign.isdigit()])):
        doubled = 2 * digit if place % 2 else digit
        total += doubled - _EVEN_CARD_DIGITS_MOST if doubled > _EVEN_CARD_DIGITS_MOST else doubled
    return total % 10 == 0


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
