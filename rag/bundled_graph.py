"""BundledWeights → the ONNX graph that answers questions: small on disk, quick to open.

Written by hand instead of traced, so that preparing needs no torch, ONNX Runtime's fused operators
stand in it from the start, and the vocabulary table (four fifths of the model) keeps its 4 bits:
dequantising a row at run time gives the same float32 numbers as dequantising the table at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from rag.bundled_weights import BLOCK_SIZE, BundledWeights

MICROSOFT = "com.microsoft"
OPSET = 21
IR_VERSION = 10
EPSILON = 1e-12


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of what it added."""

    def __init__(self, weights: BundledWeights) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def tensor(self, name: str) -> str:
        return self.constant(name, self.weights.floats(name, -1))

    def node(
        self,
        op: str,
        inputs: list[str],
        output: str,
        domain: str = "",
        **options: Any,  # noqa: ANN401
    ) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], domain=domain, **options))
        return output

    def linear(self, inputs: str, name: str, n_in: int, n_out: int) -> str:
        """`inputs` times a weight matrix, without its bias: the next operator adds that."""
        matrix = self.constant(f"{name}.w", self.weights.floats(f"{name}.w", n_out, n_in).T)
        return self.node("MatMul", [inputs, matrix], f"{name}.out")

    def add_and_normalise(self, inputs: str, skip: str, bias: str, norm: str, output: str) -> str:
        # Not the fused SkipLayerNormalization: these three take a quarter of its time.
        biased = self.node("Add", [inputs, bias], f"{output}.biased")
        total = self.node("Add", [biased, skip], f"{output}.sum")
        names = [total, self.tensor(f"{norm}.w"), self.tensor(f"{norm}.b")]
        return self.node("LayerNormalization", names, output, axis=-1, epsilon=EPSILON)

    def embeddings(self) -> str:
        """Word + position + type, normalised."""
        self.add_vocabulary_table()
        words = self.node(
            "GatherBlockQuantized",
            ["emb.word", "input_ids", "emb.word.scales"],
            "words",
            MICROSOFT,
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK_SIZE,
        )
        size = self.weights.hidden_size
        table = self.weights.floats("emb.pos", self.weights.positions, size)
        zero = self.constant("zero", np.array([0], np.int64))
        length = self.node("Shape", ["input_ids"], "length", start=1, end=2)
        rows = self.node("Slice", [self.constant("emb.pos", table), zero, length, zero], "rows")
        positions = self.node("Unsqueeze", [rows, zero], "positions")
        kind = self.constant("emb.type", self.weights.floats("emb.type", -1, size)[0])
        return self.add_and_normalise(words, positions, kind, "emb.ln", "embeddings")

    def add_vocabulary_table(self) -> None:
        """The vocabulary as signed 4-bit numbers, two a byte, the even one low."""
        rows, size = self.weights.vocabulary_size, self.weights.hidden_size
        quants = self.weights.quants("emb.word").reshape(rows, size).view(np.uint8) & 0x0F
        packed = quants[:, 0::2] | (quants[:, 1::2] << 4)
        self.constants.append(
            helper.make_tensor(
                "emb.word", TensorProto.INT4, (rows, size), packed.tobytes(), raw=True
            )
        )
        self.constant("emb.word.scales", self.weights.scales("emb.word").reshape(rows, -1))

    def layer(self, inputs: str, number: int, output: str) -> str:
        """Self-attention, then the feed-forward pair, each added to its input and normalised."""
        size, prefix = self.weights.hidden_size, f"l{number}"
        parts = [f"{prefix}.{part}" for part in "qkv"]
        matrix = np.concatenate(
            [self.weights.floats(f"{p}.w", size, size).T for p in parts], axis=1
        )
        bias = np.concatenate([self.weights.floats(f"{p}.b", size) for p in parts])
        names = [self.constant(f"{prefix}.qkv.w", matrix), self.constant(f"{prefix}.qkv.b", bias)]
        context = self.node(
            "Attention",
            [inputs, *names, "mask"],
            f"{prefix}.context",
            MICROSOFT,
            num_heads=self.weights.heads,
        )
        attended = self.linear(context, f"{prefix}.ao", size, size)
        bias_name = self.tensor(f"{prefix}.ao.b")
        middle = self.add_and_normalise(
            attended, inputs, bias_name, f"{prefix}.aln", f"{prefix}.middle"
        )
        wide = self.linear(middle, f"{prefix}.fi", size, 4 * size)
        active = self.node(
            "BiasGelu", [wide, self.tensor(f"{prefix}.fi.b")], f"{prefix}.active", MICROSOFT
        )
        narrow = self.linear(active, f"{prefix}.fo", 4 * size, size)
        bias_name = self.tensor(f"{prefix}.fo.b")
        return self.add_and_normalise(narrow, middle, bias_name, f"{prefix}.oln", output)


def build_graph(weights: BundledWeights) -> ModelProto:
    """`input_ids`, `attention_mask` (batch, tokens) → `last_hidden_state` (batch, tokens, dim)."""
    builder = GraphBuilder(weights)
    builder.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    states = builder.embeddings()
    for number in range(weights.layers):
        is_last = number == weights.layers - 1
        states = builder.layer(
            states, number, "last_hidden_state" if is_last else f"l{number}.states"
        )
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        builder.nodes,
        "e5-small",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [helper.make_tensor_value_info(states, TensorProto.FLOAT, [*shape, weights.hidden_size])],
        builder.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
