"""Stage 6, only where it is asked for: a cross-encoder puts the best candidates in its own order.

It reads question and chunk together, which finds more and takes some hundred times as long as late
interaction. None ships: `--reranker NAME` opens any sentence-transformers CrossEncoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final

from rag.protocols import Reranker
from rag.sentence_transformer import from_cache_or_hub

if TYPE_CHECKING:  # importing it takes seconds, which a search without one never needs
    from sentence_transformers import CrossEncoder

RERANKED: Final = 32
"""So many candidates are read; further ones hardly ever hold the answer."""


def open_reranker(name: str | None) -> Reranker | None:
    """The cross-encoder of that name from the hub or its cache, or in that folder; none for None.

    Raises ModelError.
    """
    if not name:
        return None
    from sentence_transformers import CrossEncoder

    def open_model(local_files_only: bool) -> CrossEncoder:
        model: CrossEncoder = CrossEncoder(name, num_labels=1, local_files_only=local_files_only)
        return model

    way_out = "check the name, the folder or the network, or leave --reranker out"
    return CrossEncoderReranker(name, from_cache_or_hub("reranker", name, open_model, way_out))


class CrossEncoderReranker:
    """A Reranker; may be shared between threads, which then wait for each other."""

    def __init__(self, name: str, model: CrossEncoder) -> None:
        self.name = name
        self.model = model
        self.lock = Lock()  # tokenizers of `transformers` are not safe to share between threads

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """See Reranker; 0–1 for most models."""
        if not passages:
            return []
        pairs = [(question, passage) for passage in passages]
        with self.lock:
            scores = self.model.predict(pairs, show_progress_bar=False)
        return [float(score) for score in scores]
