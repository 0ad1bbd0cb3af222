"""Fits rag/data/token_projection.npy on the notes that ship; see rag.token_projection.

    python -m eval.fit_projection [--corpus DIR]

The main directions (uncentred principal components) of the two layers' unit states side by side,
over every token of every chunk. Nothing but notes goes in: no question, no label.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bundled_embedding import BundledEmbedder, group_by_length, open_bundled_embedder, pad
from rag.bundled_model import PASSAGE_PREFIX, open_bundled_model
from rag.chunking import chunk_document, embedding_text
from rag.config import load_settings
from rag.indexing import limits_of
from rag.loading import load_corpus
from rag.token_projection import FILE, TOKEN_DIM, TOKEN_LAYERS, unit_rows

BATCH_TOKENS = 2048
Array = npt.NDArray[np.float64]


def main_directions(second_moment: Array, count: int) -> Array:
    """The `count` eigenvectors of the largest eigenvalues as columns, largest first."""
    return np.linalg.eigh(second_moment)[1][:, ::-1][:, :count]


def layer_states(texts: Sequence[str], embedder: BundledEmbedder) -> Iterator[Array]:
    """Unit states of TOKEN_LAYERS side by side, shape (tokens, 2 × dim), batch by batch."""
    import torch
    from transformers import BertModel

    model: Any = BertModel.from_pretrained(open_bundled_model())
    model.eval()
    encodings = embedder.tokenizer.encode([PASSAGE_PREFIX + text for text in texts])
    lengths = [len(encoding.ids) for encoding in encodings]
    for rows in group_by_length(lengths, BATCH_TOKENS):
        ids, mask = pad([encodings[row] for row in rows])
        with torch.inference_mode():
            layers = model(
                input_ids=torch.tensor(ids),
                attention_mask=torch.tensor(mask),
                output_hidden_states=True,
            ).hidden_states
        own = mask.astype(bool)
        own[:, 0] = False
        own[np.arange(len(rows)), mask.sum(axis=1) - 1] = False
        yield np.hstack([unit_rows(layers[n].numpy()[own]) for n in TOKEN_LAYERS])


def main() -> None:
    """Reads the notes and writes the matrices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    settings = load_settings(corpus=options.corpus)
    embedder = open_bundled_embedder("e5-small")
    limits = limits_of(settings, embedder)
    documents = load_corpus(settings.corpus, settings.max_note_bytes).documents
    texts = [
        embedding_text(chunk)
        for document in documents
        for chunk in chunk_document(document, limits, embedder.count_tokens)
    ]
    size = len(TOKEN_LAYERS) * embedder.dim
    moment, tokens = np.zeros((size, size)), 0
    for states in layer_states(texts, embedder):
        moment += states.T @ states
        tokens += len(states)
    directions = main_directions(moment / tokens, TOKEN_DIM)
    matrices = directions.reshape(len(TOKEN_LAYERS), embedder.dim, TOKEN_DIM).astype(np.float16)
    target = Path(__file__).parent.parent / "rag" / "data" / FILE
    np.save(target, matrices)
    sys.stderr.write(f"{target}: {matrices.shape} from {tokens} tokens\n")


if __name__ == "__main__":
    main()
