"""Where the milliseconds of a question go: `python -m benchmarks.stages [--index DIR] …`.

Every stage of every question is timed in the same run; nothing is taken from the cache of
questions. The stages are called as `rag.retrieval` calls them, so their sum is near the whole.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from api.schemas import SearchResponse
from eval.gold import load_gold
from rag.answerability import answerability_signals
from rag.assistant import Assistant
from rag.bundled_embedding import BundledEmbedder, pad
from rag.bundled_model import QUERY_PREFIX
from rag.config import load_settings
from rag.fusion import fuse, top_rows
from rag.names import unknown_names
from rag.progress import progress_bars
from rag.text import bigrams, words

Result = TypeVar("Result")
GOLD = Path(__file__).parents[1] / "eval" / "gold" / "aws-a.jsonl"
WARM_UP = 5


class Stopwatch:
    """Milliseconds by stage, in the order in which the stages first came."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, list[float]] = {}

    def time(self, stage: str, work: Callable[[], Result]) -> Result:
        """`work()`, its time noted under `stage`."""
        started = time.perf_counter()
        result = work()
        self.milliseconds.setdefault(stage, []).append((time.perf_counter() - started) * 1000)
        return result

    def lines(self) -> list[str]:
        """A table: the least, the median and the 95th percentile of each stage."""
        rows = [f"{'stage':<34}{'min':>8}{'median':>8}{'p95':>8}  ms"]
        for stage, found in self.milliseconds.items():
            p95 = statistics.quantiles(found, n=20)[-1] if len(found) > 1 else found[0]
            middle = statistics.median(found)
            rows.append(f"{stage:<34}{min(found):>8.2f}{middle:>8.2f}{p95:>8.2f}")
        return rows


def measure_question(question: str, assistant: Assistant, watch: Stopwatch) -> None:
    """One question through every stage, each alone, and then whole."""
    snapshot, retriever = assistant.snapshot, assistant.retriever
    measure_embedding(question, assistant, watch)
    names = watch.time("aliases", lambda: retriever.aliases.expansions(question))
    texts = [question, *names]
    found_words = watch.time("words (Sudachi)", lambda: [w for t in texts for w in words(t)])
    found_bigrams = watch.time("bigrams", lambda: [b for t in texts for b in bigrams(t)])
    word_weights, bigram_weights = (
        dict.fromkeys(found_words, 1.0),
        dict.fromkeys(found_bigrams, 1.0),
    )
    vector, tokens = retriever.embed(question)
    legs = {
        "dense": watch.time("leg: dense (FAISS)", lambda: snapshot.dense.scores(vector)),
        "words": watch.time("leg: words (BM25)", lambda: snapshot.words.scores(word_weights)),
        "bigrams": watch.time(
            "leg: bigrams (BM25)", lambda: snapshot.bigrams.scores(bigram_weights)
        ),
    }
    shares = {name: getattr(retriever.weights, name) for name in legs}
    rows = watch.time("fusion", lambda: top_rows(fuse(legs, shares), retriever.weights.candidate_k))
    token_weights = snapshot.tokens.weights(tokens.ids)
    watch.time(
        "late interaction",
        lambda: snapshot.tokens.scores(tokens.vectors, token_weights, rows),
    )
    unknown = watch.time(
        "unknown names", lambda: unknown_names(words(question), snapshot, retriever.aliases)
    )
    result = watch.time("search, question remembered", lambda: assistant.search(question))
    if result.hits:
        best = result.hits[0]
        watch.time(
            "answerability",
            lambda: answerability_signals(
                snapshot, question, bigram_weights, tokens, unknown, best
            ),
        )
    watch.time("JSON", lambda: SearchResponse.of(result).model_dump_json())


def measure_embedding(question: str, assistant: Assistant, watch: Stopwatch) -> None:
    """The bundled model's parts; of any other model the whole alone."""
    embedder = assistant.embedder
    if isinstance(embedder, BundledEmbedder):
        (encoding,) = watch.time(
            "tokenising", lambda: embedder.tokenizer.encode([QUERY_PREFIX + question])
        )
        ids, mask = pad([encoding])
        watch.time("ONNX forward pass", lambda: embedder.forward(ids, mask))
    watch.time("embedding, whole", lambda: embedder.embed_queries([question]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table for the first questions of a gold file."""
    parser = argparse.ArgumentParser("python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--gold", type=Path, default=GOLD)
    parser.add_argument("--questions", type=int, default=100)
    options = parser.parse_args(arguments)
    given = {name: getattr(options, name) for name in ("corpus", "index") if getattr(options, name)}
    with progress_bars() as report:
        assistant = Assistant.open(load_settings(**given), report)
    questions = [item.question for item in load_gold([options.gold])]
    for question in questions[:WARM_UP]:
        assistant.search(question)
    watch = Stopwatch()
    for question in questions[WARM_UP : WARM_UP + options.questions]:
        measure_question(question, assistant, watch)
    count = len(assistant.chunks)
    print(f"{len(watch.milliseconds['JSON'])} questions, {count} chunks")  # noqa: T201
    print("\n".join(watch.lines()))  # noqa: T201


if __name__ == "__main__":
    main()
