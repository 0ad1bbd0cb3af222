"""Texts → unit vectors and token vectors with the bundled model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from rag.bundled_bulk import Engines, Openers, map_side_by_side
from rag.bundled_forward import Forward, Ids, States, open_onnx_for_questions
from rag.bundled_model import (
    MAX_TOKENS,
    PASSAGE_ONNX_FILE,
    PASSAGE_PREFIX,
    QUERY_PREFIX,
    QUESTION_ONNX_FILE,
    VECTORS_VERSION,
    VOCABULARY_FOLDER,
    open_bundled_model,
)
from rag.bundled_tokenizer import EOS_ID, PAD_ID, BundledTokenizer, Encoding
from rag.bundled_weights import SOURCE_SHA256
from rag.errors import ModelError
from rag.protocols import EmbedPassages, Matrix, Progress, TokenVectors
from rag.token_projection import TOKEN_DIM, unit_rows

DIM = 384
BATCH_TOKENS = 1024
"""Tokens of one batch, padding included: larger ones leave the processor's cache and are slower."""


def open_bundled_embedder(name: str, progress: Progress | None = None) -> BundledEmbedder:
    """The bundled model, prepared first where needed; raises ModelError."""
    folder = open_bundled_model(progress)
    try:
        tokenizer = BundledTokenizer.open(folder / VOCABULARY_FOLDER)
        forward = open_onnx_for_questions(folder / QUESTION_ONNX_FILE)
    except Exception as error:
        raise ModelError(
            f"embedding model {name!r}: its prepared files do not open ({error}); "
            f"delete the folder {folder} and try again"
        ) from error
    return BundledEmbedder(name, tokenizer, forward, Openers.of(folder, folder / PASSAGE_ONNX_FILE))


class BundledEmbedder:
    """The default Embedder; may be shared between threads.

    `forward` embeds questions; `openers` open what embeds passages, once there are any.
    """

    def __init__(
        self, name: str, tokenizer: BundledTokenizer, forward: Forward, openers: Openers
    ) -> None:
        self.name = name
        self.dim = DIM
        self.token_dim = TOKEN_DIM
        self.max_tokens = MAX_TOKENS
        self.tokenizer = tokenizer
        self.forward = forward
        self.openers = openers

    @property
    def fingerprint(self) -> str:
        """From the weights' checksum, the prefixes, the pooling and a version."""
        parts = (SOURCE_SHA256, VECTORS_VERSION, QUERY_PREFIX, PASSAGE_PREFIX, "mean", MAX_TOKENS)
        return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:16]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage, uncut, special tokens and prefix included."""
        prefixed = [PASSAGE_PREFIX + text for text in texts]
        return [len(encoding.ids) for encoding in self.tokenizer.encode(prefixed)]

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder; one text at a time, for in eight bits one would change another's vector."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        token_vectors: list[TokenVectors] = []
        for row, encoding in enumerate(self._encode(QUERY_PREFIX, texts)):
            states, own = self.forward(*pad([encoding]))
            vectors[row], tokens = _pool(states[0], own[0], encoding, len(QUERY_PREFIX))
            token_vectors.append(tokens)
        return unit_rows(vectors), token_vectors

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        with self.bulk() as embed_passages:
            return embed_passages(texts, progress)

    @contextmanager
    def bulk(self) -> Iterator[EmbedPassages]:
        """See Embedder."""
        with Engines(self.openers) as engines:
            yield lambda texts, progress: self._embed_passages(texts, engines, progress)

    def _encode(self, prefix: str, texts: Sequence[str]) -> list[Encoding]:
        """`prefix` + each text, cut to what the model reads."""
        return [_cut(found) for found in self.tokenizer.encode([prefix + text for text in texts])]

    def _embed_passages(
        self, texts: Sequence[str], engines: Engines, progress: Progress | None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """Unit rows and token vectors of the texts in order; similar lengths go together."""
        if not texts:
            return np.zeros((0, self.dim), np.float32), []
        encodings = self._encode(PASSAGE_PREFIX, texts)
        lengths = [len(encoding.ids) for encoding in encodings]
        groups = list(group_by_length(lengths, BATCH_TOKENS))
        engine = engines.choose(sum(lengths), pad([encodings[row] for row in groups[0]]))

        def embed_group(rows: Sequence[int]) -> list[tuple[int, Matrix, TokenVectors]]:
            own = [encodings[row] for row in rows]
            states, vectors = engine.forward(*pad(own))
            return [
                (row, *_pool(states[place], vectors[place], own[place], len(PASSAGE_PREFIX)))
                for place, row in enumerate(rows)
            ]

        vectors = np.zeros((len(texts), self.dim), np.float32)
        token_vectors: dict[int, TokenVectors] = {}
        done = 0
        for found in map_side_by_side(embed_group, groups, engine.workers):
            for row, vectors[row], token_vectors[row] in found:
                done += lengths[row]
            if progress:
                progress(done, sum(lengths))
        return unit_rows(vectors), [token_vectors[row] for row in range(len(texts))]


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


def pad(encodings: Sequence[Encoding]) -> tuple[Ids, Ids]:
    """Ids and mask as rectangles, as wide as the longest."""
    shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
    ids, mask = np.full(shape, PAD_ID, np.int64), np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def _pool(
    states: States, vectors: States, encoding: Encoding, prefix_size: int
) -> tuple[Matrix, TokenVectors]:
    """The mean of all states, and the vectors of the text's own tokens: not those of the first,
    the last and the prefix.
    """
    size = len(encoding.ids)
    own = encoding.starts >= prefix_size
    own[[0, -1]] = False
    tokens = TokenVectors(
        vectors[:size][own],
        encoding.ids[own].astype(np.int32),
        encoding.starts[own] - prefix_size,
    )
    return states[:size].mean(axis=0), tokens
