"""Texts → unit vectors and token vectors with the bundled model.

Questions and small batches go through ONNX Runtime; a large batch on a machine with matrix
hardware goes through torch, whose slow start pays then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from rag.bundled_forward import (
    Forward,
    Ids,
    States,
    has_matrix_hardware,
    open_onnx,
    open_torch_process,
)
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

DIM = 384
BATCH_TOKENS = 1024
"""Tokens of one batch, padding included: larger ones leave the processor's cache and are slower."""
BULK_TOKENS = 60_000
"""From here on starting torch (5 s) pays on matrix hardware."""
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
    return BundledEmbedder(name, tokenizer, forward, lambda: open_torch_process(folder))


class BundledEmbedder:
    """The default Embedder; may be shared between threads."""

    def __init__(
        self,
        name: str,
        tokenizer: BundledTokenizer,
        forward: Forward,
        open_bulk: Callable[[], AbstractContextManager[Forward]],
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
        vectors = np.zeros((len(texts), self.dim), np.float32)
        token_vectors: dict[int, TokenVectors] = {}
        lengths = [len(encoding.ids) for encoding in encodings]
        groups = list(group_by_length(lengths, BATCH_TOKENS))
        sample = [encodings[row] for row in groups[0]] if groups else []
        with self._choose_forward(sample, sum(lengths)) as forward:
            for rows in groups:
                states = forward(*_pad([encodings[row] for row in rows]))
                for row, own in zip(rows, states, strict=True):
                    vectors[row], token_vectors[row] = _pool(own, encodings[row], len(prefix))
                if progress:
                    progress(len(token_vectors), len(texts))
        return unit_rows(vectors), [token_vectors[row] for row in range(len(texts))]

    @contextmanager
    def _choose_forward(self, batch: Sequence[Encoding], total_tokens: int) -> Iterator[Forward]:
        """Torch for a large load where it is faster, if it agrees on `batch`; else ONNX."""
        if total_tokens < BULK_TOKENS or not has_matrix_hardware():
            yield self.forward
            return
        with self.open_bulk() as bulk:
            yield self._guard(bulk) if self._agrees(bulk, *_pad(batch)) else self.forward

    def _agrees(self, bulk: Forward, ids: Ids, mask: Ids) -> bool:
        """Whether `bulk` works and gives these texts the vectors they should have."""
        try:
            states = bulk(ids, mask)
        except (OSError, EOFError, ValueError):
            return False
        masked = np.stack([states, self.forward(ids, mask)]) * mask[..., None]
        vectors, expected = (unit_rows(sums) for sums in masked.sum(axis=2, dtype=np.float32))
        return bool((vectors * expected).sum(axis=1).min() >= MIN_BULK_COSINE)

    def _guard(self, bulk: Forward) -> Forward:
        """`bulk`, and ONNX from the batch on at which it fails."""

        def forward(ids: Ids, mask: Ids) -> States:
            try:
                return bulk(ids, mask)
            except (OSError, EOFError, ValueError):
                return self.forward(ids, mask)

        return forward


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


def _pool(states: States, encoding: Encoding, prefix_size: int) -> tuple[Matrix, TokenVectors]:
    """The mean of all tokens, and the text's own: without the first, the last and the prefix's."""
    states = states[: len(encoding.ids)]
    own = encoding.starts >= prefix_size
    own[[0, -1]] = False
    tokens = TokenVectors(
        unit_rows(states[own]),
        encoding.ids[own].astype(np.int32),
        encoding.starts[own] - prefix_size,
    )
    return states.mean(axis=0), tokens


def unit_rows(rows: Matrix) -> Matrix:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units
