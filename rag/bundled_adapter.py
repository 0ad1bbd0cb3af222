"""Kotae's adapter: what training on learners' questions adds to the bundled model's matrices.

multilingual-e5-small was trained to give each text one vector. The adapter is a product of two thin
matrices for each of its own (LoRA: Hu et al., 2021, https://arxiv.org/abs/2106.09685), trained so
that a question's tokens meet those of the passage that answers it, and its vector the unit that
does, though it is put in other words. `python -m eval.fit_adapter` makes it (docs/retrieval.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rag.bundled_weights import BundledWeights
from rag.errors import ModelError

FILE: Final = "adapter.npz"
"""For each adapted matrix NAME `NAME.down` (rank, in) and `NAME.up` (out, rank), float16."""
ADAPTER_SHA256: Final = "18d9e955f7c3b75c93886c725516d12dd53f37a3a68d3ee21bbf48bfac372904"
PARTS: Final = ("q", "k", "v", "ao", "fi", "fo")
"""The matrices of a layer: query, key, value and output of attention, the feed-forward pair."""


def adapted(weights: BundledWeights) -> BundledWeights:
    """The same with the adapter merged into its matrices; raises ModelError where it is damaged."""
    return merged(weights, read_adapter())


def read_adapter() -> dict[str, npt.NDArray[Any]]:
    """The arrays of FILE by name; raises ModelError."""
    content = resources.files("rag").joinpath("data", FILE).read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != ADAPTER_SHA256:
        raise ModelError(
            f"embedding model 'e5-small': its adapter rag/data/{FILE} has SHA-256 {checksum}, but "
            f"{ADAPTER_SHA256} is expected; install Kotae again"
        )
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def merged(weights: BundledWeights, arrays: Mapping[str, npt.NDArray[Any]]) -> BundledWeights:
    """Each adapted matrix as float32: the original and the product of the two thin ones."""
    tensors = dict(weights.tensors)
    for name in sorted({key.rpartition(".")[0] for key in arrays}):
        down, up = (arrays[f"{name}.{half}"].astype(np.float32) for half in ("down", "up"))
        tensors[name] = weights.floats(name, len(up), down.shape[1]) + up @ down
    return replace(weights, tensors=tensors)
