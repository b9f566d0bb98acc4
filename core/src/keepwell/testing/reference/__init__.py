"""The reference store: the semantics of the seam in plain Python, for tests and as a specification."""

from keepwell.testing.reference.store import ReferenceRecord, ReferenceStore

__all__ = ["ReferenceRecord", "ReferenceStore"]
