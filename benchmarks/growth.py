"""How the index grows: `python -m benchmarks.growth [--sizes N …] [--output DIR]`, `make growth`.

For each size a snapshot is generated (benchmarks/generated.py), written and opened again in a
process of its own, which then answers gold questions: what it takes on disk, in memory and in
milliseconds, how much of what an exact search finds is found, and what one changed note costs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.curves import curves_svg
from benchmarks.generated import generated_snapshot
from benchmarks.stages import GOLD, WARM_UP, Stopwatch, measure_question
from eval.gold import load_gold
from rag.aliases import load_aliases
from rag.assistant import Assistant, silent
from rag.config import Settings, load_settings
from rag.embedding import open_embedder
from rag.embedding_run import EmbeddingStore
from rag.indexing import PARTIAL, build_snapshot, fresh_snapshot, recipe_of
from rag.protocols import Embedder, Matrix
from rag.retrieval import Retriever
from rag.snapshot import Snapshot, open_snapshot, write_snapshot

SIZES = (1_000, 10_000, 100_000)
QUESTIONS = 60
COMPARED_UNITS = 100
BLOCK = 100_000
LEAST_DRAWN = 0.01
"""A logarithmic axis knows no 0; so little memory may be taken that less is held than before."""
STAGES = {
    "dense": "leg: dense (FAISS)",
    "words": "leg: words (BM25)",
    "bigrams": "leg: bigrams (BM25)",
    "fusion": "fusion",
    "late": "late interaction",
    "search": "search, question remembered",
}


def measure(index: Path) -> dict[str, Any]:
    """All figures of a generated index; run in a process of its own, so that memory is its own."""
    settings = load_settings(index=index)
    embedder = open_embedder(settings.embedder, lambda done, total: None)
    embedder.embed_queries(["一つ"])
    before = memory_mb()
    started = time.perf_counter()
    snapshot = open_snapshot(index, recipe_of(settings, embedder))
    seconds = time.perf_counter() - started
    aliases = load_aliases(list(snapshot.documents.values())[:100], None)
    assistant = Assistant(settings, snapshot, embedder, Retriever(snapshot, embedder, aliases))
    questions = [gold.question for gold in load_gold([GOLD])][: QUESTIONS + WARM_UP]
    for question in questions[:WARM_UP]:
        assistant.search(question)
    watch = Stopwatch()
    for question in questions[WARM_UP:]:
        measure_question(question, assistant, watch)
    return {
        "chunks": len(snapshot.chunks),
        "units": snapshot.dense.units.size,
        "exact": snapshot.dense.units.exact,
        "files_mb": {p.name: p.stat().st_size / 1e6 for p in sorted(index.glob("snapshots/*/*"))},
        "open_seconds": seconds,
        "memory_mb": memory_mb() - before,
        "milliseconds": {name: p50_p95(watch.milliseconds[at]) for name, at in STAGES.items()},
        "recall": recall(assistant, questions[WARM_UP:]),
        "renewal": renewal(settings, snapshot, embedder),
    }


def recall(assistant: Assistant, questions: list[str]) -> dict[str, float]:
    """Share of what exact search finds first that the dense leg finds first too."""
    snapshot = assistant.snapshot
    vectors = np.stack([assistant.retriever.embed(question)[0] for question in questions])
    _, found = snapshot.dense.units.search(vectors, 1_000)
    exact = exact_units(snapshot, vectors, COMPARED_UNITS)
    return {
        f"dense@{k}": statistics.fmean(
            len(set(own[:k]) & set(best[:k])) / len(best[:k])
            for own, best in zip(found, exact, strict=True)
        )
        for k in (10, COMPARED_UNITS)
    }


def exact_units(snapshot: Snapshot, queries: Matrix, count: int) -> npt.NDArray[np.int64]:
    """The nearest units by brute force, in blocks, shape (queries, count)."""
    units = snapshot.dense.units
    scores, rows = np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    for start in range(0, units.size, BLOCK):
        block: Matrix = queries @ units.rows(slice(start, min(start + BLOCK, units.size))).T
        numbers = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        all_scores, all_rows = np.hstack([scores, block]), np.hstack([rows, numbers])
        best = np.argsort(-all_scores, axis=1, kind="stable")[:, :count]
        scores = np.take_along_axis(all_scores, best, axis=1)
        rows = np.take_along_axis(all_rows, best, axis=1)
    return rows


def renewal(settings: Settings, snapshot: Snapshot, embedder: Embedder) -> dict[str, float]:
    """Seconds to a snapshot in memory without the first note, then with the last one changed.

    The latter is written: seconds until it is on disk, and the most memory of it all.
    """
    first, *others, last = snapshot.documents.values()
    changed = replace(last, text=last.text + "\n\n## 追記\n\n別の事実。\n", content_hash="changed")
    forget_peak()
    store = EmbeddingStore(settings.index / PARTIAL, embedder.fingerprint)
    began = time.perf_counter()
    build_snapshot([*others, last], settings, embedder, silent, snapshot, store)
    started = time.perf_counter()
    renewed = build_snapshot([first, *others, changed], settings, embedder, silent, snapshot, store)
    built = time.perf_counter()
    write_snapshot(settings.index, renewed)
    return {
        "removal_seconds": started - began,
        "build_seconds": built - started,
        "write_seconds": time.perf_counter() - built,
        "peak_memory_mb": memory_mb("VmHWM"),
    }


def forget_peak() -> None:
    """The system counts this process's peak of memory from here on."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def memory_mb(field: str = "RssAnon") -> float:
    """What this process holds for itself alone; `VmHWM`: the most so far, mapped files included."""
    fields = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines()
    )
    return int(fields[field].split()[0]) / 1e3


def p50_p95(milliseconds: list[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return float(p50), float(p95)


def figure(found: list[dict[str, Any]]) -> str:
    """Memory and disk, milliseconds and renewal over the number of chunks."""

    def points(*path: str | int) -> list[tuple[float, float]]:
        values = []
        for row in found:
            value: Any = row
            for name in path:
                value = value[name]
            values.append((row["chunks"], max(float(value), LEAST_DRAWN)))
        return values

    disk = [(row["chunks"], sum(row["files_mb"].values())) for row in found]
    return curves_svg(
        {
            "median of a question's legs, ms": {
                name: points("milliseconds", name, 0) for name in STAGES
            },
            "MB": {
                "on disk": disk,
                "in memory": points("memory_mb"),
                "most, re-indexing": points("renewal", "peak_memory_mb"),
            },
            "one changed note, seconds": {
                "new index": points("renewal", "build_seconds"),
                "writing it": points("renewal", "write_seconds"),
                "opening": points("open_seconds"),
            },
        }
    )


def main() -> None:
    """Generates and measures every size; figures to stdout, growth.svg."""
    parser = argparse.ArgumentParser("python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))  # noqa: T201
        return
    settings = load_settings()
    embedder = open_embedder(settings.embedder, lambda done, total: None)
    real, _ = fresh_snapshot(settings, embedder, silent)
    options.output.mkdir(parents=True, exist_ok=True)
    found = []
    for size in options.sizes:
        scratch = Path(tempfile.mkdtemp(prefix="kotae-growth-"))
        try:
            write_snapshot(scratch / "index", generated_snapshot(real, size, scratch))
            command = [sys.executable, "-m", "benchmarks.growth", "--measure"]
            done = subprocess.run(
                [*command, str(scratch / "index")], check=True, stdout=subprocess.PIPE, text=True
            )
            found.append(json.loads(done.stdout))
            print(json.dumps(found[-1], indent=1), flush=True)  # noqa: T201
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        (options.output / "growth.svg").write_text(figure(found), "utf-8")


if __name__ == "__main__":
    main()
