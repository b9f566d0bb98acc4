"""The demonstration: an agent that remembers from one process to the next.

What it plays with is invented (:mod:`keepwell.samples`) and lies in a folder of its own, which it removes
afterwards. ``keepwell demo`` plays it with what is in this package; ``make demo`` with LangChain and LlamaIndex.
"""

from keepwell.cli.demo.acts import Act, perform
from keepwell.cli.demo.stage import Answered, Shown, Stage, shown

USER = "mara"
"""Whose correspondence the sample is."""

__all__ = ["USER", "Act", "Answered", "Shown", "Stage", "perform", "shown"]
