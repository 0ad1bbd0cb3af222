"""Hidden states of two layers → the token vectors that late interaction compares, small ones.

The last layers of an embedding model prepare its mean; the middle ones keep what each token means
where it stands. Both together find more than either (docs/retrieval.md), and of their 768 numbers
the 144 main directions are enough: 10,000 chunks take less than 200 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np

from rag.protocols import Matrix

TOKEN_LAYERS: Final = (11, 8)
"""Counted as `transformers` counts hidden states: 0 is the embeddings, 12 the last layer."""
TOKEN_DIM: Final = 144
FILE: Final = "token_projection.npy"
"""Shape (len(TOKEN_LAYERS), 384, TOKEN_DIM), float16; made by `python -m eval.fit_adapter`."""


@dataclass(frozen=True, slots=True)
class TokenProjection:
    """For each of `layers` the matrix, shape (dim, token_dim), its unit states are multiplied with;
    the sum of the products, at unit length, is the token's vector.
    """

    layers: tuple[int, ...]
    matrices: Matrix

    def project(self, states: Sequence[Matrix]) -> Matrix:
        """States of `layers`, each (…, dim) → unit token vectors (…, token_dim)."""
        pairs = zip(states, self.matrices, strict=True)
        return unit_rows(np.sum([unit_rows(layer) @ matrix for layer, matrix in pairs], axis=0))


@lru_cache(maxsize=1)
def read_token_projection() -> TokenProjection:
    """The bundled model's."""
    with resources.files("rag").joinpath("data", FILE).open("rb") as file:
        return TokenProjection(TOKEN_LAYERS, np.load(file, allow_pickle=False).astype(np.float32))


def unit_rows(rows: Matrix) -> Matrix:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    units: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units
