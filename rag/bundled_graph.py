"""BundledWeights → the model as an ONNX graph: small on disk, quick to open.

Written by hand instead of traced, so that preparing needs no torch, ONNX Runtime's fused operators
stand in it from the start, and the vocabulary table (four fifths of the model) keeps its 4 bits:
dequantising a row at run time gives the same float32 numbers as dequantising the table at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from rag.bundled_weights import BLOCK_SIZE, BundledWeights
from rag.protocols import Matrix
from rag.token_projection import TokenProjection, read_token_projection

MICROSOFT = "com.microsoft"
OPSET = 21
IR_VERSION = 10
EPSILON = 1e-12


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of what it added.

    `multiplied` tells what is multiplied with each weight matrix.
    """

    def __init__(self, weights: BundledWeights) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.multiplied: dict[str, str] = {}

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

    def linear(self, inputs: str, name: str, *parts: str) -> str:
        """`inputs` times the weights of `parts` side by side; the next operator adds the biases."""
        size = self.weights.tensors[f"{parts[0]}.b"].size
        matrices = [self.weights.floats(f"{part}.w", size, -1).T for part in parts]
        self.multiplied[name] = inputs
        return self.multiply(inputs, name, np.concatenate(matrices, axis=1))

    def multiply(self, inputs: str, name: str, matrix: Matrix) -> str:
        """`inputs` times `matrix`, shape (in, out)."""
        return self.node("MatMul", [inputs, self.constant(f"{name}.w", matrix)], f"{name}.out")

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
        prefix = f"l{number}"
        context = self.attention(inputs, prefix)
        attended = self.linear(context, f"{prefix}.ao", f"{prefix}.ao")
        bias = self.tensor(f"{prefix}.ao.b")
        middle = self.add_and_normalise(attended, inputs, bias, f"{prefix}.aln", f"{prefix}.middle")
        wide = self.linear(middle, f"{prefix}.fi", f"{prefix}.fi")
        active = self.node(
            "BiasGelu", [wide, self.tensor(f"{prefix}.fi.b")], f"{prefix}.active", MICROSOFT
        )
        narrow = self.linear(active, f"{prefix}.fo", f"{prefix}.fo")
        bias = self.tensor(f"{prefix}.fo.b")
        return self.add_and_normalise(narrow, middle, bias, f"{prefix}.oln", output)

    def token_vectors(self, states: Sequence[str], projection: TokenProjection) -> str:
        """See TokenProjection; `states` are those of the embeddings and of every layer."""
        parts = []
        for number, matrix in enumerate(projection.matrices):
            layer = states[projection.layers[number]]
            unit = self.node("LpNormalization", [layer], f"tokens{number}.unit", axis=-1, p=2)
            names = [unit, self.constant(f"tokens{number}.w", matrix)]
            parts.append(self.node("MatMul", names, f"tokens{number}.out"))
        total = self.node("Sum", parts, "tokens.sum")
        return self.node("LpNormalization", [total], "token_vectors", axis=-1, p=2)

    def attention(self, inputs: str, prefix: str) -> str:
        """What each token takes from the others, all heads side by side."""
        parts = [f"{prefix}.{part}" for part in "qkv"]
        biases = np.concatenate([self.weights.floats(f"{part}.b", -1) for part in parts])
        projected = self.linear(inputs, f"{prefix}.qkv", *parts)
        self.nodes.append(helper.make_node("Split", [projected], parts, axis=2, num_outputs=3))
        names = [*parts, self.constant(f"{prefix}.qkv.b", biases), "mask"]
        heads = self.weights.heads
        return self.node(
            "MultiHeadAttention", names, f"{prefix}.context", MICROSOFT, num_heads=heads
        )


def build_graph(builder: GraphBuilder, watched: bool = False) -> ModelProto:
    """`input_ids`, `attention_mask` (batch, tokens) → `last_hidden_state` (batch, tokens, dim) and
    `token_vectors` (batch, tokens, token_dim).

    A `watched` graph also gives what is multiplied with each weight matrix.
    """
    weights = builder.weights
    builder.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    states = [builder.embeddings()]
    for number in range(weights.layers):
        is_last = number == weights.layers - 1
        name = "last_hidden_state" if is_last else f"l{number}.states"
        states.append(builder.layer(states[-1], number, name))
    projection = read_token_projection()
    tokens = builder.token_vectors(states, projection)
    sizes = {states[-1]: weights.hidden_size, tokens: projection.matrices.shape[-1]}
    shape = ["batch", "tokens"]
    others = builder.multiplied.values() if watched else ()
    graph = helper.make_graph(
        builder.nodes,
        "e5-small",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape, size])
                for name, size in sizes.items()
            ),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in others),
        ],
        builder.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
