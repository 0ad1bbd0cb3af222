"""The bundled model with low-rank matrices that are trained; see eval.fit_adapter."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eval.training_notes import Tokens, TrainingNote
from rag.bundled_adapter import FILE, PARTS
from rag.bundled_embedding import group_by_length
from rag.bundled_model import network_config
from rag.bundled_tokenizer import PAD_ID
from rag.bundled_weights import BundledWeights, name_tensors
from rag.token_projection import FILE as PROJECTION_FILE
from rag.token_projection import TOKEN_DIM, TOKEN_LAYERS

RANK = 16
BATCH_TOKENS = 2048


class Adapted(nn.Module):
    """A linear layer that stays as it is, and the product of two thin ones that is trained."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        scale = 1 / math.sqrt(linear.in_features)
        self.down = nn.Parameter(torch.randn(RANK, linear.in_features) * scale)
        self.up = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` through both."""
        both: Tensor = self.linear(inputs) + (inputs @ self.down.T) @ self.up.T
        return both


class Encoder(nn.Module):
    """The bundled model with an adapter of its own and the projection of its token vectors."""

    def __init__(self, weights: BundledWeights) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        self.vocabulary_size = weights.vocabulary_size
        self.network: Any = BertModel(BertConfig(**network_config(weights)))
        tensors = {name: torch.tensor(values) for name, values in name_tensors(weights).items()}
        self.network.load_state_dict(tensors)
        self.network.requires_grad_(False)
        self.network.train(False)  # no dropout
        self.adapters: dict[str, Adapted] = {}
        layers: Any = self.network.encoder.layer
        for number, layer in enumerate(layers):
            outputs = (layer.attention.output, layer.intermediate, layer.output)
            places = (
                *((layer.attention.self, name) for name in ("query", "key", "value")),
                *((module, "dense") for module in outputs),
            )
            for part, (module, name) in zip(PARTS, places, strict=True):
                adapter = Adapted(getattr(module, name))
                setattr(module, name, adapter)
                self.adapters[f"l{number}.{part}.w"] = adapter
        size = (len(TOKEN_LAYERS), weights.hidden_size, TOKEN_DIM)
        self.projection = nn.Parameter(torch.zeros(size))

    @torch.no_grad()
    def begin_projection(self, notes: Sequence[TrainingNote]) -> None:
        """The main directions (uncentred) of the layers' states side by side.

        Those of every fourth passage: it is but where training begins.
        """
        size = self.projection.shape[0] * self.projection.shape[1]
        moment = torch.zeros(size, size, dtype=torch.float64)
        for note in notes:
            for passage in note.passages[::4]:
                layers = self._layers(torch.tensor(passage.tokens.ids)[None])[1]
                own = torch.cat([layer[0] for layer in layers], dim=-1)[passage.tokens.own].double()
                moment += own.T @ own
        directions = torch.linalg.eigh(moment)[1].flip(1)[:, :TOKEN_DIM]
        self.projection.copy_(directions.reshape(self.projection.shape))

    def _layers(self, ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Last states, and the unit states of TOKEN_LAYERS."""
        found = self.network(
            input_ids=ids, attention_mask=(ids != PAD_ID).long(), output_hidden_states=True
        )
        layers = (found.hidden_states[layer] for layer in TOKEN_LAYERS)
        return found.last_hidden_state, [functional.normalize(layer, dim=-1) for layer in layers]

    def forward(self, texts: Sequence[Tokens]) -> list[tuple[Tensor, Tensor]]:
        """(last states, token vectors) of each text, shape (tokens, …)."""
        read: dict[int, tuple[Tensor, Tensor]] = {}
        for rows in group_by_length([len(text.ids) for text in texts], BATCH_TOKENS):
            unpadded = [torch.tensor(texts[row].ids) for row in rows]
            ids = nn.utils.rnn.pad_sequence(unpadded, batch_first=True, padding_value=PAD_ID)
            last, layers = self._layers(ids)
            projected = [own @ part for own, part in zip(layers, self.projection, strict=True)]
            vectors = functional.normalize(torch.stack(projected).sum(dim=0), dim=-1)
            for row, states, tokens in zip(rows, last, vectors, strict=True):
                size = len(texts[row].ids)
                read[row] = states[:size], tokens[:size]
        return [read[row] for row in range(len(texts))]

    def save(self, folder: Path) -> str:
        """Writes both files; the adapter's SHA-256."""
        halves = {
            f"{name}.{half}": getattr(adapter, half).detach().numpy().astype(np.float16)
            for name, adapter in self.adapters.items()
            for half in ("down", "up")
        }
        np.savez(folder / FILE, **halves)
        np.save(folder / PROJECTION_FILE, self.projection.detach().numpy().astype(np.float16))
        return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
