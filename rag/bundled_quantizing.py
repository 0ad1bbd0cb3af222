"""BundledWeights → the ONNX graph that embeds questions: matrices and what they meet in eight bits.

A question is short: most of its time goes into fetching the weights, a quarter as many bytes here.
Eight bits for all channels of an activation are too few where one channel is many times larger
than the others. So each such channel is divided by a constant that its row of the matrix is
multiplied with, which changes nothing else (SmoothQuant: Xiao et al., ICML 2023,
https://arxiv.org/abs/2211.10438). The large channels are the network's own, not the text's: any
tokens show them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rag.bundled_forward import watch_onnx
from rag.bundled_graph import MICROSOFT, GraphBuilder, build_graph
from rag.bundled_tokenizer import BOS_ID, EOS_ID, UNKNOWN_ID
from rag.bundled_weights import BundledWeights
from rag.protocols import Matrix

LARGEST_PEAK = 2.0
"""No channel stays further above the median one: 1.5 and 3 came less close to the float graph."""
SAMPLE_TEXTS, SAMPLE_TOKENS, SAMPLE_BATCH = 64, 24, 8
ZERO_CODE = 128


class QuantizedGraphBuilder(GraphBuilder):
    """Multiplies in eight bits; `peaks` holds for each matrix the peaks of its input channels."""

    def __init__(self, weights: BundledWeights, peaks: Mapping[str, Matrix]) -> None:
        super().__init__(weights)
        self.peaks = peaks

    def multiply(self, inputs: str, name: str, matrix: Matrix) -> str:
        """See GraphBuilder; the activations' scale is chosen anew for every text."""
        divisors = channel_divisors(self.peaks[name])
        factors = self.constant(f"{name}.factors", 1 / divisors)
        even = self.node("Mul", [inputs, factors], f"{name}.even")
        codes, scales = quantize_columns(matrix * divisors[:, None])
        names = [
            even,
            self.constant(f"{name}.codes", codes),
            self.constant(f"{name}.scales", scales),
            self.constant(f"{name}.zeros", np.full(len(scales), ZERO_CODE, np.uint8)),
        ]
        return self.node("DynamicQuantizeMatMul", names, f"{name}.out", MICROSOFT)


def channel_divisors(peaks: Matrix) -> Matrix:
    """What brings every channel's peak down to at most `LARGEST_PEAK` times the median one."""
    divisors: Matrix = np.maximum(1, peaks / max(LARGEST_PEAK * float(np.median(peaks)), 1e-6))
    return divisors


def quantize_columns(matrix: Matrix) -> tuple[npt.NDArray[np.uint8], Matrix]:
    """Each column in eight bits with one scale: matrix ≈ (codes − ZERO_CODE) × scales.

    Unsigned: with signed codes AVX2 adds up pairs of products in 16 bits, which are too few.
    """
    scales = np.maximum(np.abs(matrix).max(axis=0) / 127, np.finfo(np.float32).tiny)
    codes = np.rint(matrix / scales) + ZERO_CODE
    return codes.astype(np.uint8), scales.astype(np.float32)


def measure_peaks(weights: BundledWeights) -> dict[str, Matrix]:
    """For each matrix the largest magnitude of each input channel, over texts of random tokens."""
    builder = GraphBuilder(weights)
    forward = watch_onnx(build_graph(builder, watched=True).SerializeToString())
    random = np.random.default_rng(0)
    shape = (SAMPLE_TEXTS, SAMPLE_TOKENS)
    ids = random.integers(UNKNOWN_ID + 1, weights.vocabulary_size, shape, dtype=np.int64)
    ids[:, 0], ids[:, -1] = BOS_ID, EOS_ID
    peaks: dict[str, Matrix] = {}
    for start in range(0, SAMPLE_TEXTS, SAMPLE_BATCH):
        batch = ids[start : start + SAMPLE_BATCH]
        outputs = forward(batch, np.ones_like(batch))
        for name, activation in builder.multiplied.items():
            found = np.abs(outputs[activation]).max(axis=(0, 1))
            peaks[name] = np.maximum(peaks.get(name, found), found)
    return peaks
