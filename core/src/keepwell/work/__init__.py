"""What is due, and doing it: here and now, in the background of a process, or by a fleet of workers."""

from __future__ import annotations

from keepwell.work.analysing import reanalyse
from keepwell.work.background import Worker
from keepwell.work.draining import Drained, drain
from keepwell.work.embedding import Progress, embed_appended, embed_due, reembed, vectors_of
from keepwell.work.forming import FormedThread, form_thread
from keepwell.work.tools import Tools, filled, remembered_by_words, scope_of

__all__ = [
    "Drained",
    "FormedThread",
    "Progress",
    "Tools",
    "Worker",
    "drain",
    "embed_appended",
    "embed_due",
    "filled",
    "form_thread",
    "reanalyse",
    "reembed",
    "remembered_by_words",
    "scope_of",
    "vectors_of",
]
