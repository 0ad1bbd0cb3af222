"""Are questions and passages still embedded as in the baseline? A few fixed texts tell.

A question embedded in the wrong way, its prefix lost for one, may cost hardly a rank on the notes
at hand and more on others; its vector shows it at once. The texts are short, where a prefix weighs
most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from eval.intervals import Floats
from rag.protocols import Matrix, TokenVectors

PROBES = ("S3", "料金", "ECSの場合は？")
COSINE_FLOOR = 0.995
"""Mean cosine with the baseline's vectors.

Another processor or number format stays above 0.997; the default model's questions without their
prefix fall to 0.98, its passages to 0.97.
"""

Probes = Mapping[str, Floats]
"""verb (`query`, `passage`) → vectors of PROBES, rounded to three decimals, a row each."""


class ProbedEmbedder(Protocol):
    """The two verbs of `rag.protocols.Embedder`."""

    def embed_queries(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]: ...

    def embed_passages(self, texts: Sequence[str]) -> tuple[Matrix, list[TokenVectors]]: ...


def embed_probes(embedder: ProbedEmbedder) -> Probes:
    """The probes by both verbs."""
    vectors = {
        "query": embedder.embed_queries(PROBES)[0],
        "passage": embedder.embed_passages(PROBES)[0],
    }
    return {verb: read_vectors(rows) for verb, rows in vectors.items()}


def read_vectors(rows: object) -> Floats:
    """One row for each probe; ValueError when it is not that."""
    vectors: Floats = np.array(rows, dtype=np.float64).round(3)
    if vectors.ndim != 2 or len(vectors) != len(PROBES):
        raise ValueError(f"probes of shape {vectors.shape}, not {len(PROBES)} vectors")
    return vectors


def mean_cosine(before: Floats, after: Floats) -> float:
    """Of row i with row i; 0.0 for vectors of another length, as another model has."""
    if before.shape != after.shape:
        return 0.0
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return float(((before * after).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())
