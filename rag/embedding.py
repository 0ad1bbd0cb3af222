"""Stage 4: texts → unit vectors, by the bundled model or any sentence-transformers model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rag.bundled_embedding import open_bundled_embedder
from rag.config import DEFAULT_EMBEDDER
from rag.protocols import Embedder, Progress
from rag.sentence_transformer import open_sentence_transformer

EmbedderFactory = Callable[[str, Progress | None], Embedder]

EMBEDDERS: Mapping[str, EmbedderFactory] = {DEFAULT_EMBEDDER: open_bundled_embedder}
"""Models by name; every other name is a sentence-transformers model or folder."""


def open_embedder(name: str, progress: Progress | None = None) -> Embedder:
    """The embedder of that name, ready to work; raises ModelError."""
    return EMBEDDERS.get(name, open_sentence_transformer)(name, progress)
