"""How fast notes are embedded: `python -m benchmarks.indexing [--corpus DIR] [--chunks N]`.

The same chunks, in one run and by the same weights: with the loop that everybody writes first
(sentence-transformers, one chunk a call), with its own batches, and as Kotae does. Kotae's run
gives the token vectors too, and its time includes the opening of its engine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rag.bundled_forward import count_processors
from rag.bundled_model import open_bundled_model
from rag.chunking import chunk_document, embedding_text
from rag.config import load_settings
from rag.embedding import open_embedder
from rag.indexing import limits_of
from rag.loading import load_corpus
from rag.protocols import Embedder

DEFAULT_CHUNKS = 256
WARM_UP = 4


def read_texts(corpus: Path, embedder: Embedder, count: int) -> list[str]:
    """What is embedded of `count` chunks, taken evenly from all of the corpus."""
    settings = load_settings(corpus=corpus)
    limits = limits_of(settings, embedder)
    texts = [
        embedding_text(chunk)
        for document in load_corpus(corpus, settings.max_note_bytes).documents
        for chunk in chunk_document(document, limits, embedder.count_tokens)
    ]
    step = max(len(texts) // count, 1)
    return texts[::step][:count]


def open_contestants(embedder: Embedder) -> dict[str, Callable[[Sequence[str]], object]]:
    """What embeds the texts, by name."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(open_bundled_model()), device="cpu")
    return {
        "sentence-transformers, a loop": lambda texts: [
            model.encode(text, prompt_name="passage") for text in texts
        ],
        "sentence-transformers, batches": lambda texts: model.encode(
            list(texts), prompt_name="passage"
        ),
        "Kotae": embedder.embed_passages,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints chunks and tokens a second of each contestant, and its ratio to the loop."""
    parser = argparse.ArgumentParser("python -m benchmarks.indexing", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--chunks", type=int, default=DEFAULT_CHUNKS)
    options = parser.parse_args(arguments)
    embedder = open_embedder("e5-small")
    texts = read_texts(options.corpus, embedder, options.chunks)
    tokens = sum(embedder.count_tokens(texts))
    print(f"{len(texts)} chunks, {tokens} tokens, {count_processors()} processors")  # noqa: T201
    loop_seconds = 0.0
    for name, embed in open_contestants(embedder).items():
        embed(texts[:WARM_UP])
        started = time.perf_counter()
        embed(texts)
        seconds = time.perf_counter() - started
        loop_seconds = loop_seconds or seconds
        rates = f"{len(texts) / seconds:7.1f} chunks/s{tokens / seconds:8.0f} tokens/s"
        print(f"{name:<32}{rates}  × {loop_seconds / seconds:.2f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
