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
    SOURCES,
    VECTORS_VERSION,
    VOCABULARY_FOLDER,
    open_bundled_model,
)
from rag.bundled_tokenizer import EOS_ID, PAD_ID, BundledTokenizer, Encoding
from rag.errors import ModelError
from rag.protocols import (
    EmbeddedPassage,
    EmbedPassages,
    Matrix,
    PassageInput,
    Progress,
    TokenVectors,
)
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
        parts = (SOURCES, VECTORS_VERSION, QUERY_PREFIX, PASSAGE_PREFIX, "mean", MAX_TOKENS)
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
            vectors[row] = states[0].mean(axis=0)
            token_vectors.append(_own_tokens(own[0], encoding, len(QUERY_PREFIX)))
        return unit_rows(vectors), token_vectors

    def embed_passages(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[Matrix, list[TokenVectors]]:
        """See Embedder."""
        with self.bulk() as embed_passages:
            embedded = embed_passages([PassageInput(text) for text in texts], progress)
        vectors = [own.vectors for own in embedded]
        empty = np.zeros((0, self.dim), np.float32)
        return np.concatenate([empty, *vectors]), [own.tokens for own in embedded]

    @contextmanager
    def bulk(self) -> Iterator[EmbedPassages]:
        """See Embedder."""
        with Engines(self.openers) as engines:
            yield lambda passages, progress: self._embed_passages(passages, engines, progress)

    def _encode(self, prefix: str, texts: Sequence[str]) -> list[Encoding]:
        """`prefix` + each text, cut to what the model reads."""
        return [_cut(found) for found in self.tokenizer.encode([prefix + text for text in texts])]

    def _embed_passages(
        self, passages: Sequence[PassageInput], engines: Engines, progress: Progress | None
    ) -> list[EmbeddedPassage]:
        """The passages in order, each read once; similar lengths go together."""
        if not passages:
            return []
        encodings = self._encode(PASSAGE_PREFIX, [passage.text for passage in passages])
        lengths = [len(encoding.ids) for encoding in encodings]
        groups = list(group_by_length(lengths, BATCH_TOKENS))
        engine = engines.choose(sum(lengths), pad([encodings[row] for row in groups[0]]))

        def embed_group(rows: Sequence[int]) -> list[tuple[int, EmbeddedPassage]]:
            own = [encodings[row] for row in rows]
            read = zip(rows, own, *engine.forward(*pad(own)), strict=True)
            return [
                (row, _pool(passages[row], encoding, states, vectors))
                for row, encoding, states, vectors in read
            ]

        embedded: dict[int, EmbeddedPassage] = {}
        done = 0
        for found in map_side_by_side(embed_group, groups, engine.workers):
            embedded.update(found)
            done += sum(lengths[row] for row, _ in found)
            if progress:
                progress(done, sum(lengths))
        return [embedded[row] for row in range(len(passages))]


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
    passage: PassageInput, encoding: Encoding, states: States, vectors: States
) -> EmbeddedPassage:
    """Of each unit the mean of its states where it stands (late chunking: Günther et al., 2024,
    https://arxiv.org/abs/2409.04701), and the token vectors of the passage.
    """
    starts = encoding.starts - len(PASSAGE_PREFIX)
    inside = [(starts >= first) & (starts < last) for first, last in passage.units]
    whole = np.ones(len(starts), dtype=bool)  # also of a unit past what the model reads
    chosen = [own if own.any() else whole for own in inside] or [whole]
    means = np.stack([states[: len(starts)][own].mean(axis=0) for own in chosen])
    return EmbeddedPassage(unit_rows(means), _own_tokens(vectors, encoding, len(PASSAGE_PREFIX)))


def _own_tokens(vectors: States, encoding: Encoding, prefix_size: int) -> TokenVectors:
    """Those of the text's own tokens: not those of the first, the last and the prefix."""
    own = encoding.starts >= prefix_size
    own[[0, -1]] = False
    return TokenVectors(
        vectors[: len(own)][own],
        encoding.ids[own].astype(np.int32),
        encoding.starts[own] - prefix_size,
    )
