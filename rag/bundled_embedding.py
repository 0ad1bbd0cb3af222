"""Texts → unit vectors and token vectors with the bundled model.

Questions and small batches go through ONNX Runtime, which opens in a fraction of a second; a large
batch on a machine with matrix hardware goes through torch, whose slow import pays then.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bundled_model import (
    FORMAT_VERSION,
    MAX_TOKENS,
    ONNX_FILE,
    PASSAGE_PREFIX,
    QUERY_PREFIX,
    VOCABULARY_FOLDER,
    open_bundled_model,
)
from rag.bundled_tokenizer import EOS_ID, PAD_ID, BundledTokenizer, Encoding
from rag.bundled_weights import SOURCE_SHA256
from rag.errors import ModelError
from rag.protocols import Matrix, Progress, TokenVectors

Ids = npt.NDArray[np.int64]
States = npt.NDArray[np.float32]
Forward = Callable[[Ids, Ids], States]
"""Ids and mask, shape (batch, tokens) → the last hidden states, shape (batch, tokens, dim)."""

DIM = 384
BATCH_TOKENS = 1024
"""Tokens of one batch, padding included: larger ones leave the processor's cache and are slower."""
BULK_TOKENS = 50_000
"""From here on importing torch (5 s) pays on matrix hardware."""
MIN_BULK_COSINE = 0.999
"""Torch is used only where its vectors stay this close to ONNX Runtime's."""


def open_bundled_embedder(name: str, progress: Progress | None = None) -> BundledEmbedder:
    """The bundled model, prepared first where needed; raises ModelError."""
    folder = open_bundled_model(progress)
    try:
        tokenizer = BundledTokenizer.open(folder / VOCABULARY_FOLDER)
        forward = open_onnx(folder / ONNX_FILE)
    except Exception as error:
        raise ModelError(
            f"embedding model {name!r}: its prepared files do not open ({error}); "
            f"delete the folder {folder} and try again"
        ) from error
    return BundledEmbedder(name, tokenizer, forward, lambda: _open_torch(folder))


def open_onnx(path: Path) -> Forward:
    """ONNX Runtime over the graph that rag.bundled_graph wrote, in float32."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = _count_processors()
    # The graph is made of fused operators already: optimising it again only costs start-up time.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Idle threads that spin would take the processor from the rest of the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(ids: Ids, mask: Ids) -> States:
        states: States = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return states

    return forward


def _open_torch(folder: Path) -> Forward:
    """`transformers` over model.safetensors: on a GPU in float32, else in bfloat16."""
    import torch
    from transformers import BertModel

    device = _pick_device()
    dtype = torch.bfloat16 if device == "cpu" else torch.float32
    model: Any = BertModel.from_pretrained(folder, dtype=dtype)
    model = model.to(device).eval()

    def forward(ids: Ids, mask: Ids) -> States:
        with torch.inference_mode():
            inputs = {"input_ids": ids, "attention_mask": mask}
            tensors = {name: torch.from_numpy(rows).to(device) for name, rows in inputs.items()}
            states: States = model(**tensors).last_hidden_state.float().cpu().numpy()
        return states

    return forward


def _pick_device() -> str:
    """`cuda`, `mps` or `cpu`, the best that torch finds."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _count_processors() -> int:
    """Processors this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_matrix_hardware() -> bool:
    """Whether torch would be much faster here: Intel AMX, an Nvidia or an Apple GPU."""
    if sys.platform == "darwin":
        return os.uname().machine == "arm64"
    if Path("/proc/driver/nvidia/version").exists():
        return True
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False


class BundledEmbedder:
    """The default Embedder; may be shared between threads."""

    def __init__(
        self,
        name: str,
        tokenizer: BundledTokenizer,
        forward: Forward,
        open_bulk: Callable[[], Forward],
    ) -> None:
        self.name = name
        self.dim = DIM
        self.max_tokens = MAX_TOKENS
        self.tokenizer = tokenizer
        self.forward = forward
        self.open_bulk = open_bulk

    @property
    def fingerprint(self) -> str:
        """From the weights' checksum, the prefixes, the pooling and the version of the files."""
        parts = (SOURCE_SHA256, FORMAT_VERSION, QUERY_PREFIX, PASSAGE_PREFIX, "mean", MAX_TOKENS)
        return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:16]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage, uncut, special tokens and prefix included."""
        prefixed = [PASSAGE_PREFIX + text for text in texts]
        return [len(encoding.ids) for encoding in self.tokenizer.encode(prefixed)]

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        return self._embed(QUERY_PREFIX, texts, None)

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        return self._embed(PASSAGE_PREFIX, texts, progress)

    def _embed(
        self, prefix: str, texts: Sequence[str], progress: Progress | None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """Unit rows and token vectors of `prefix` + each text, in the order of `texts`."""
        encodings = [_cut(found) for found in self.tokenizer.encode([prefix + t for t in texts])]
        forward = self._choose_forward(encodings)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        token_vectors: dict[int, TokenVectors] = {}
        for rows in group_by_length([len(e.ids) for e in encodings], BATCH_TOKENS):
            batch = [encodings[row] for row in rows]
            for row, encoding, states in zip(rows, batch, forward(*_pad(batch)), strict=True):
                own = states[: len(encoding.ids)]
                vectors[row] = own.mean(axis=0)
                token_vectors[row] = _pick_tokens(own, encoding.starts, len(prefix))
            if progress:
                progress(len(token_vectors), len(texts))
        return unit_rows(vectors), [token_vectors[row] for row in range(len(texts))]

    def _choose_forward(self, encodings: Sequence[Encoding]) -> Forward:
        """Torch for a large batch where it is faster and its vectors are the same, else ONNX."""
        if sum(len(encoding.ids) for encoding in encodings) < BULK_TOKENS:
            return self.forward
        if not has_matrix_hardware():
            return self.forward
        bulk = self.open_bulk()
        sample = _pad(encodings[:1])
        vector, expected = (unit_rows(run(*sample).mean(axis=1)) for run in (bulk, self.forward))
        return bulk if float((vector * expected).sum()) >= MIN_BULK_COSINE else self.forward


def _cut(encoding: Encoding) -> Encoding:
    """At most MAX_TOKENS tokens, the end token still last."""
    if len(encoding.ids) <= MAX_TOKENS:
        return encoding
    ids = np.append(encoding.ids[: MAX_TOKENS - 1], EOS_ID)
    return Encoding(ids, encoding.starts[:MAX_TOKENS])


def group_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of similar length together, longest first; `batch_tokens` counts padding too."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if rows and lengths[rows[0]] * (len(rows) + 1) > batch_tokens:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _pad(encodings: Sequence[Encoding]) -> tuple[Ids, Ids]:
    """Ids and mask as rectangles, as wide as the longest."""
    shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
    ids, mask = np.full(shape, PAD_ID, np.int64), np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def _pick_tokens(states: States, starts: npt.NDArray[np.int32], prefix_size: int) -> TokenVectors:
    """The text's own tokens, unit rows: without the first, the last and the prefix's."""
    inner = slice(1, len(states) - 1)
    own = starts[inner] >= prefix_size
    return TokenVectors(unit_rows(states[inner][own]), starts[inner][own] - prefix_size)


def unit_rows(rows: Matrix) -> Matrix:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units
