"""Models that are not ours: the seams for them, and the embedder that is bundled."""

from keepwell.providers.embedding import Embedder, embedder_of

__all__ = ["Embedder", "embedder_of"]
