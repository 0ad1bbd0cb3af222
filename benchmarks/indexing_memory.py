"""What a first indexing takes of memory: `python -m benchmarks.indexing_memory [--chunks N]`.

The notes are copied, each copy under titles of its own, until they make so many chunks, and
indexed as `kotae index` does; then one note is changed. The model embeds a slice of each kind of
text, units and chunks, and its vectors are given again for the texts that follow: as much memory
and as many tokens as it would take, without the hour. The most memory of each stage to stdout.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np

from benchmarks.growth import forget_peak, memory_mb
from rag.config import load_settings
from rag.embedding import open_embedder
from rag.indexing import fresh_snapshot
from rag.protocols import EmbeddedPassage, Embedder, EmbedPassages, PassageInput, Progress

DEFAULT_CHUNKS = 100_000


class RepeatingEmbedder:
    """An embedder that gives the vectors it has made for the first passages to all others."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._made: list[EmbeddedPassage] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._embedder, name)

    @contextmanager
    def bulk(self) -> Iterator[EmbedPassages]:
        """As the embedder's own, which embeds the first passages."""
        with self._embedder.bulk() as embed_passages:

            def embed(
                passages: Sequence[PassageInput], progress: Progress | None
            ) -> list[EmbeddedPassage]:
                if not self._made:
                    self._made = embed_passages(passages, progress)
                repeated = zip(passages, itertools.cycle(self._made), strict=False)
                return [_shaped_for(passage, made) for passage, made in repeated]

            yield embed


def _shaped_for(passage: PassageInput, made: EmbeddedPassage) -> EmbeddedPassage:
    """With a vector for each unit of `passage`."""
    count = max(1, len(passage.units))
    return EmbeddedPassage(np.resize(made.vectors, (count, made.vectors.shape[1])), made.tokens)


class PeakReport:
    """Prints the most memory that each stage took, and its seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.finish()
            self._stage, self._started = stage, time.perf_counter()
            forget_peak()

    def finish(self) -> None:
        """The last stage ends here."""
        if self._stage:
            seconds, peak = time.perf_counter() - self._started, memory_mb("VmHWM")
            print(f"{self._stage:<12}{seconds:8.1f} s{peak:8.0f} MB", flush=True)  # noqa: T201
        self._stage = ""


def copy_notes(corpus: Path, folder: Path, copies: int) -> Path:
    """The notes so many times, each copy with its number behind the title; the last one's path."""
    path = folder
    for copy, note in itertools.product(range(copies), sorted(corpus.rglob("*.md"))):
        path = folder / str(copy) / note.relative_to(corpus)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = note.read_text(encoding="utf-8").splitlines(keepends=True)
        titled = [
            f"{line.rstrip()} {copy}\n" if line.startswith("title:") else line for line in lines
        ]
        path.write_text("".join(titled), encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Indexes a corpus of that size from nothing, then again after a change of one note."""
    parser = argparse.ArgumentParser("python -m benchmarks.indexing_memory", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("corpus"))
    parser.add_argument("--chunks", type=int, default=DEFAULT_CHUNKS)
    options = parser.parse_args(arguments)
    embedder = cast(Embedder, RepeatingEmbedder(open_embedder(load_settings().embedder)))
    scratch = Path(tempfile.mkdtemp(prefix="kotae-memory-"))
    try:
        copy_notes(options.corpus, scratch / "one", 1)
        one = load_settings(corpus=scratch / "one", index=scratch / "one-index")
        snapshot, _ = fresh_snapshot(one, embedder, lambda stage, done, total: None)
        copies = max(1, round(options.chunks / len(snapshot.chunks)))
        note = copy_notes(options.corpus, scratch / "notes", copies)
        settings = load_settings(corpus=scratch / "notes", index=scratch / "index")
        del snapshot
        for what in ("from nothing", "one note changed"):
            report = PeakReport()
            found, _ = fresh_snapshot(settings, embedder, report)
            report.finish()
            print(f"{len(found.chunks)} chunks, {what}\n", flush=True)  # noqa: T201
            del found
            note.write_text(note.read_text("utf-8") + "\n## 追記\n\n別の事実。\n", "utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
