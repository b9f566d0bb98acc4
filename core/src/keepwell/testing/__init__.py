"""What tests of memory need: a store without a server, scripted models, and promises that a store must keep.

The suites are in :mod:`keepwell.testing.conformance`, which alone needs pytest.
"""

from keepwell.testing.embedders import FailingEmbedder, HashEmbedder, SlowEmbedder
from keepwell.testing.language import FailingModel, GarbageModel, ScriptedExtractor, ScriptedModel, SlowModel
from keepwell.testing.models import parrot
from keepwell.testing.reference import ReferenceRecord, ReferenceStore

__all__ = [
    "FailingEmbedder",
    "FailingModel",
    "GarbageModel",
    "HashEmbedder",
    "ReferenceRecord",
    "ReferenceStore",
    "ScriptedExtractor",
    "ScriptedModel",
    "SlowEmbedder",
    "SlowModel",
    "parrot",
]
